"""Erasing users: out of every place that keeps something of them, and a report that shows it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from features.definition.schema import Definition
from features.errors import StoreError
from features.log.burial import erase_events
from features.log.compacted import Compacted
from features.log.frames import part_files, rows_of_users
from features.profiles import Profiles
from features.settings import Settings
from features.store import OnlineProfiles
from features.store.objects import profiles_path, snapshots_path, traits_path
from serving.handoff.ledger import Ledger


@dataclass(frozen=True, slots=True)
class Erased:
    """What was removed of some users, by place, and what a second look still finds there.

    Attributes:
        removed: rows removed.
        left: rows that are there still; all 0, or the erasure has failed.
    """

    removed: dict[str, int]
    left: dict[str, int]


def erase(definition: Definition, settings: Settings, ledger: Ledger, users: Sequence[str]) -> Erased:
    """Remove users for good; who erases holds the definition's folder.

    A tombstone, a hash of the id, keeps their events out when they come again, live or in the log's own files. Those
    files are not ours to change. Models keep no users.

    Args:
        definition: the definition.
        settings: where things are kept.
        ledger: their standings and moves; destinations that know of them are told that they left.
        users: whom.

    Raises:
        StoreError: the event store is on another machine; nothing was removed.
    """
    names = list(dict.fromkeys(users))
    home = settings.events(definition.name)
    if settings.engine == "local" and not any(home.glob("*/manifest.json")):
        raise StoreError(
            f"{home} holds no event store, so this machine cannot erase anybody from it.",
            fix="propensity erase ID on the machine where propensity materialize runs",
        )
    removed = ledger.live.erase(names)  # first, so that nobody folds them again meanwhile
    removed |= ledger.erase(names)
    state = Compacted.load(settings.live(definition.name))
    events = erase_events(definition, home, state, names)
    removed["event store"] = sum(sum(users.values()) for users in events.stores.values())
    removed["compacted events"] = events.compacted
    for place, (files, column) in _places(definition, settings, state).items():
        removed[place] = sum(rows_of_users(file, column, names, remove=True) for file in files)
    online = OnlineProfiles(definition, settings)
    removed["online store"] = online.remove(names)
    left = _left(definition, settings, ledger, online, state, names)
    left["event store"] = sum(rows_of_users(file, "user", names) for file in home.glob("*/bucket-*.parquet"))
    return Erased(removed, left)


def _places(definition: Definition, settings: Settings, state: Compacted) -> dict[str, tuple[Iterable[Path], str]]:
    """Files that keep rows of users, and the column that names them."""
    folder = settings.folder(definition.name)
    kept, batches = profiles_path(definition, folder), settings.scores(definition.name).glob("scores-*")
    return {
        "compacted traits": (state.trait_files, "user"),
        "kept profiles": (Profiles(definition, kept).files, "user"),
        "kept traits": ([f for f in (kept / "traits.parquet", traits_path(folder)) if f.exists()], "user"),
        "snapshots": (part_files(snapshots_path(folder)), "user"),
        "scores": ([f for batch in batches for f in part_files(batch)], "user_id"),
        "audiences": ((folder / "audiences").glob("*.parquet"), "user"),
    }


def _left(
    definition: Definition,
    settings: Settings,
    ledger: Ledger,
    online: OnlineProfiles,
    state: Compacted,
    users: list[str],
) -> dict[str, int]:
    """Look again."""
    left = {"live events": len(ledger.live.of_users(users)), **ledger.left(users)}
    column = definition.events.columns.user
    left["compacted events"] = sum(rows_of_users(file, column, users) for file in state.event_files)
    for place, (files, name) in _places(definition, settings, state).items():
        left[place] = sum(rows_of_users(file, name, users) for file in files)
    left["online store"] = sum(value is not None for value in online.read_values(users))
    return left
