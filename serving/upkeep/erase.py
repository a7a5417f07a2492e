"""Erasing users: a search through everything that is kept, and a report that shows every place."""

from collections.abc import Sequence
from dataclasses import dataclass

from features.definition.schema import Definition
from features.errors import StoreError
from features.event_store.distributed import HANDED
from features.event_store.erasure import erase_events, places_of, rows_elsewhere, store_folders
from features.events.compacted import Compacted
from features.events.write import rows_of_users
from features.feature_store import OnlineProfiles
from features.reading.places import resolve
from features.settings import Settings
from features.sources.parts import fetched_files
from features.system.files.lock import sharing
from features.system.files.places import Place
from features.user_id import user_id
from serving.activation.memberships import PLACES, Memberships
from serving.database.log.live_log import LiveLog
from serving.upkeep import sqlite_files
from serving.upkeep.same_person import ids_of
from serving.upkeep.search import Search

#: what a report always lists, found or not
EVERYWHERE = (
    *PLACES.values(), "event store", "compacted events", "fetched events", "compacted traits", "kept profiles",
    "kept traits", "snapshots", "scores", "population", "audiences", "online store", "unfinished files",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Erased:
    """What was removed of some users, by place, and what a second look still finds there.

    Attributes:
        removed: rows removed.
        left: rows that are there still, and files of other kinds that name a user, by their name; all 0, or the
            erasure has failed.
    """

    removed: dict[str, int]
    left: dict[str, int]


def erase(definition: Definition, settings: Settings, memberships: Memberships, users: Sequence[str]) -> Erased:
    """Remove users for good; who erases holds the definition's folder, alone.

    A tombstone, a digest of the id, keeps them out when they come again, live or in the log's own files. Those files
    are not ours to change. Models keep no users.

    Args:
        definition: the definition.
        settings: where things are kept.
        memberships: their memberships and transitions; destinations that know of them get a message that they left.
        users: whom; with all other ids that were merged with theirs.

    Raises:
        StoreError: the event store is on another machine; nothing was removed.
        UnavailableError: a job works with the users, or a database is in use for too long; the same again finishes it.
        UserIdError: an id is none.
    """
    names = ids_of(definition, settings, [user_id(user) for user in users])
    home = settings.events(definition.name)
    if settings.engine == "local" and not store_folders(home):
        raise StoreError(
            f"{home} holds no event store, so this machine cannot erase anybody from it.",
            fix="propensity erase ID on the machine where propensity materialize runs",
        )
    with sharing(settings.folder(definition.name), alone=True):
        return _erase(definition, settings, memberships, names)


def _erase(definition: Definition, settings: Settings, memberships: Memberships, names: list[str]) -> Erased:
    shared = places_of(settings.events(definition.name)) | ({settings.shared} if settings.shared else set())
    live, search = memberships.live, _search(definition, settings, memberships.live, names)
    removed = dict.fromkeys(EVERYWHERE, 0) | live.erase(names)  # first, so that nobody folds them again meanwhile
    removed |= memberships.erase(names)
    compacted = Compacted.load(settings.live(definition.name))
    events = erase_events(definition, settings.events(definition.name), compacted, names)
    removed["event store"] = sum(sum(users.values()) for users in events.stores.values())
    removed["compacted events"], removed["fetched events"] = events.compacted, events.fetched
    removed["unfinished files"] = search.remove_unfinished() + _remove_handed(definition, shared)
    for place, rows in search.remove().items():
        removed[place] = removed.get(place, 0) + rows
    online = OnlineProfiles(definition, settings)
    removed["online store"] = online.remove(names)
    sqlite_files.scrub({*search.sqlite, *([live.file] if live.file is not None else [])}, names)
    left = dict.fromkeys(removed, 0) | memberships.left(names) | search.look()
    left["event store"] += rows_elsewhere(settings.events(definition.name), names)
    column = definition.events.columns.user
    left["fetched events"] = sum(rows_of_users(file, column, names) for file in fetched_files(definition))
    left["online store"] = max(left["online store"], online.count(names))
    return Erased({place: removed.get(place, 0) for place in left}, left)


def _remove_handed(definition: Definition, addresses: set[str]) -> int:
    """Remove what jobs that were killed have left in the stores through which Spark's machines get files."""
    count = 0
    for address in sorted(addresses):
        place = Place(address, f"{definition.name}/{HANDED}")
        found = place.names()
        place.remove(found)
        count += len(found)
    return count


def _search(definition: Definition, settings: Settings, live: LiveLog, users: Sequence[str]) -> Search:
    """A search of all files of the definition; the live log is asked itself, and the log's own files are not ours."""
    events, traits = definition.events, definition.traits
    own, columns = resolve(definition, events.path), [events.columns.user]
    if traits is not None:
        own, columns = [*own, *resolve(definition, traits.path)], [*columns, traits.columns.user]
    apart = [*own, *([live.file] if live.file is not None else [])]
    return Search(settings.folder(definition.name), users, columns, apart)
