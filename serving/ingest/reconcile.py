"""Reconciliation: every profile rebuilt from the logs, beside what the online store holds."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

from features.definition.schema import Definition
from features.errors import StoreError
from features.events.compacted import Compacted
from features.events.events import Rows
from features.feature_store import OnlineProfiles
from features.profile.codec import NOTHING, Attributes, StoredProfile
from features.profile.manifest import ProfileManifest
from features.reading.live_messages import TRACK, LogColumns, Message
from features.settings import Settings
from features.system.progress import Progress, ignore
from serving.database.identity import Marks, check, check_files
from serving.database.log.live_log import LiveLog
from serving.database.log.message_rows import shards_of
from serving.ingest.fold.history import History
from serving.ingest.fold.persons import Persons
from serving.ingest.fold.profiles import fold_whole, identified, value_of

#: users compared at once
RUN = 2_000

REBUILT = "the event store was rebuilt; it no longer says which of its events are also in the live log."

Why = Literal["missing", "behind", "profile", "traits"]


@dataclass(frozen=True, slots=True)
class Difference:
    """A user whose stored profile is not what the logs make of it.

    ``missing``: nothing is stored. ``behind``: messages are not in it that should be. ``profile``, ``traits``: other
    words, other attributes.
    """

    user: str
    why: Why


@dataclass(frozen=True, slots=True)
class Reconciled:
    """What was compared.

    Attributes:
        users: how many.
        differences: those that differ.
        repaired: how many of them were rewritten.
    """

    users: int
    differences: list[Difference]
    repaired: int


def reconcile(
    definition: Definition, settings: Settings, live: LiveLog, *, repair: bool = False, progress: Progress = ignore
) -> Reconciled:
    """Rebuild everybody and compare.

    What is still being folded is not held against a profile: it must hold what the worker says it has folded.

    Args:
        definition: the definition.
        settings: where things are kept.
        live: the live log.
        repair: write what should be there.
        progress: called for each bucket of users.

    Raises:
        StoreError: the kept profiles or the event store are not on this machine.
        LiveLogError: the live log is not the one that files and profiles were made from.
    """
    online, history = OnlineProfiles(definition, settings), History(definition, settings)
    columns = LogColumns.load(definition, settings.folder(definition.name))
    kept = history.kept()
    if kept is None:
        raise StoreError("there are no kept profiles here.", fix="run propensity materialize on this machine")
    files = Compacted.load(settings.live(definition.name))
    marks = Marks.of(online, files, kept)
    check_files(check(live, marks.all), files, str(settings.live(definition.name)))
    messages: dict[str, list[Message]] = {}
    read = _read_on(live, kept.live, messages)
    users, differences, repaired = 0, [], 0
    persons = Persons(columns, online, live, history)
    several = persons.everybody()
    merged = {one for ids in several.values() for one in ids}
    for names, rows in _buckets(history, kept, set(messages) - merged):
        stored = dict(zip(names, online.read_values(names), strict=True))
        read = _read_on(live, read, messages)  # after the profiles: what they hold is in the log by then
        shards = dict(zip(names, shards_of(names), strict=True))
        mine = {name: _due(messages.get(name, []), stored[name], marks.shards[shards[name]]) for name in names}
        tracked = columns.rows([m for some in mine.values() for m in some if m.kind == TRACK])
        whole = Rows.together([rows.table(), tracked.table()], rows.values.shape[1])
        packed, traits = fold_whole(whole, online.layout, columns), history.traits(names)
        fields = definition.traits.fields if definition.traits else []
        for name in [name for name in names if name not in merged]:
            words = packed.get(name, b"")
            known = identified(traits.get(name, NOTHING), mine[name], fields)
            users += bool(words)
            difference = _difference(name, stored[name], words, known, mine[name])
            if difference is None:
                continue
            differences.append(difference)
            if repair and words:
                was = StoredProfile.from_bytes(value) if (value := stored[name]) is not None else None
                position = max([kept.live, *(m.position for m in mine[name]), was.position if was else 0])
                good = was.through if was else online.covered_through()
                repaired += sum(online.swap([name], [value_of(good, words, known, position)], [stored[name]]))
        progress(1)
    users += len(several)
    for difference, swap in _of_persons(persons, several, online, marks, live, kept.live):
        differences.append(difference)
        repaired += swap() if repair else 0
    return Reconciled(users, differences, repaired)


def _of_persons(
    persons: Persons,
    several: Mapping[str, Sequence[str]],
    online: OnlineProfiles,
    marks: Marks,
    live: LiveLog,
    since: int,
) -> Iterator[tuple[Difference, Callable[[], int]]]:
    """Differences of persons of several ids, each with what writes what should be there."""
    users = sorted(several)
    for lo in range(0, len(users), RUN):
        some = {user: several[user] for user in users[lo : lo + RUN]}
        ids = [one for these in some.values() for one in these]
        values = dict(zip(ids, online.read_values(ids), strict=True))
        stored = {one: StoredProfile.from_bytes(v) if v is not None else None for one, v in values.items()}
        made = persons.made(some, online.covered_through(), stored)
        if made is None:
            raise StoreError(REBUILT, fix="run propensity materialize, then reconcile again")
        shards = dict(zip(ids, shards_of(ids), strict=True))
        waits = {m.user for m in live.of_users(ids, since=since) if m.position > marks.shards[shards[m.user]]}
        for person in made:
            why = person.differs(stored)
            if why is not None and waits.isdisjoint(person.ids):
                yield Difference(person.user, why), partial(persons.write, person, values)


def _difference(
    user: str, value: bytes | None, words: bytes, known: Attributes, due: list[Message]
) -> Difference | None:
    stored = StoredProfile.from_bytes(value) if value is not None else None
    if stored is None or not stored.words:
        return Difference(user, "missing") if words else None
    if stored.words != words:
        return Difference(user, "behind" if due and due[-1].position > stored.position else "profile")
    traits = [{k: v for k, v in t.items() if v is not None} for t in (stored.traits, known.traits)]
    same = traits[0] == traits[1] and stored.visible_from == known.visible_from
    return None if same else Difference(user, "traits")


def _due(messages: list[Message], value: bytes | None, mark: int) -> list[Message]:
    """The messages that a profile must hold: those it says it holds, and those the worker has passed."""
    position = StoredProfile.from_bytes(value).position if value is not None else 0
    return [message for message in messages if message.position <= max(position, mark)]


def _read_on(live: LiveLog, since: int, messages: dict[str, list[Message]]) -> int:
    """Add the messages after a position to those of their users; returns the position of the last one."""
    through = live.last()
    while some := live.between(since, through, 50_000):
        for message in some:
            messages.setdefault(message.user, []).append(message)
        since = some[-1].position
    return since


def _buckets(history: History, kept: ProfileManifest, more: set[str]) -> Iterator[tuple[list[str], Rows]]:
    """Runs of users with their kept events; at the end those who are only in the live log."""
    store = history.store(kept)
    left = set(more)
    for bucket in store.buckets:
        names = store.bucket(bucket, ends=2**63 - 1).users.to_list()
        left -= set(names)
        for lo in range(0, len(names), RUN):
            rows = history.rows(kept, names[lo : lo + RUN])
            if rows is None:
                raise StoreError(REBUILT, fix="run propensity materialize, then reconcile again")
            yield names[lo : lo + RUN], rows
    rest = sorted(left)
    for lo in range(0, len(rest), RUN):
        yield rest[lo : lo + RUN], Rows.none(store.log.n_values)
