"""Profiles online: one packed value a user, written with a guard on time, read at request time."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import features.system.in_memory  # noqa: F401

import polars as pl
from feast.infra.provider import get_provider
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value

from features.definition.schema import Definition
from features.errors import StoreError, UnavailableError
from features.feature_store.compare_and_swap import Exchange, RedisExchange, SqliteExchange
from features.feature_store.errors import store_errors
from features.feature_store.objects import PROFILE_VIEW
from features.feature_store.open import open_store
from features.profile.codec import (
    StoredProfile,
    pack,
    stored_age,
    stored_bytes,
    stored_through,
    stored_words,
    unpack_all,
)
from features.profile.layout import Words, layout_of
from features.settings import Settings

#: users and the store's own entries are entities of two kinds: no id of a user names an entry
_USER, _OWN = "user", "mark"

#: the store's own entries: through when it covers everybody; through when it does so because all live events are folded
#: in; and the id of the live log that is folded in
COVERAGE, LIVE, LOG = "through", "live", "log"

#: before there were two kinds, entries lay among the users under names with this before them
_BEFORE = "\x00"

#: and there were so many shards
_SHARDS_BEFORE = 8

#: profiles of a frame that are written at once
BATCH = 2_000

#: how often a write that met another one is tried again
TRIES = 8


class OnlineProfiles:
    """Packed profiles in Feast's online store.

    Args:
        definition: the definition.
        settings: which store, and where.
        apply: create the store's tables when they are not there.
    """

    def __init__(self, definition: Definition, settings: Settings, *, apply: bool = False) -> None:
        self.layout = layout_of(definition)
        exchange = RedisExchange if settings.online_store == "redis" else SqliteExchange
        with store_errors():
            store = open_store(definition, settings, apply=apply)
            # Feast's provider, one step below its data frames: writing a profile costs a third, reading half
            provider, view = get_provider(store.config), store.get_feature_view(PROFILE_VIEW)
            self._exchange: Exchange = exchange(provider, store.config, view)
        self._moved = False

    def write(self, users: Sequence[str], profiles: Sequence[StoredProfile]) -> int:
        """Store profiles, but never an older one over a newer one.

        Returns:
            How many were written; the others met a profile folded further.
        """
        if len(users) != len(profiles):
            raise StoreError(f"{len(users)} users and {len(profiles)} profiles.", fix="pass one profile a user")
        return self.write_values(users, [profile.to_bytes() for profile in profiles])

    def write_values(self, users: Sequence[str], values: Sequence[bytes]) -> int:
        """Store profiles as `StoredProfile.to_bytes` packs them; as `write`."""
        return self._write(_keys(users), values)

    def write_frame(self, rows: pl.DataFrame) -> int:
        """Store the profiles of a frame, ``user`` and ``profile``, some at a time; as `write_values`."""
        parts = rows.iter_slices(BATCH)
        return sum(self.write_values(part["user"].to_list(), part["profile"].to_list()) for part in parts)

    def _write(self, keys: Sequence[EntityKey], values: Sequence[bytes]) -> int:
        waiting, written = list(zip(keys, values, strict=True)), 0
        for _ in range(TRIES):
            stored = self._read([key for key, _ in waiting])
            newer = [
                (key, value, old)
                for (key, value), old in zip(waiting, stored, strict=True)
                if old is None or not _newer(old, value)
            ]
            done = self._swap(*zip(*newer, strict=True)) if newer else []
            written += sum(done)
            waiting = [(key, value) for (key, value, _), ok in zip(newer, done, strict=True) if not ok]
            if not waiting:
                return written
        raise UnavailableError(f"{len(waiting)} profiles kept changing.", fix="look for a second job that writes them")

    def swap(self, users: Sequence[str], values: Sequence[bytes], was: Sequence[bytes | None]) -> list[bool]:
        """Store values where the stored ones have not changed since they were read.

        Args:
            users: whose.
            values: what to store.
            was: what `read_values` had found.

        Returns:
            Which were written; the others have changed meanwhile: read them again, and make them again.
        """
        return self._swap(_keys(users), values, was)

    def _swap(self, keys: Sequence[EntityKey], values: Sequence[bytes], was: Sequence[bytes | None]) -> list[bool]:
        rows = [(key, value, stored_through(value)) for key, value in zip(keys, values, strict=True)]
        with store_errors():
            return self._exchange.swap(rows, was) if rows else []

    def read_values(self, users: Sequence[str]) -> list[bytes | None]:
        """Read what the store holds of users, as it is."""
        return self._read(_keys(users))

    def _read(self, keys: list[EntityKey]) -> list[bytes | None]:
        if not keys:
            return []
        with store_errors():
            return self._exchange.read(keys)

    def remove(self, users: Sequence[str]) -> int:
        """Remove all that is stored of users, of earlier feature sets too; returns how many entries were there."""
        with store_errors():
            return self._exchange.remove(_keys(users), everywhere=True)

    def count(self, users: Sequence[str]) -> int:
        """How many entries there are of users, of earlier feature sets too."""
        with store_errors():
            return self._exchange.count(_keys(users))

    def cover(self, through: int, token: str) -> None:
        """Say that everybody's profile is here who changed through an instant; the others' are good through it too."""
        self._write(_keys([COVERAGE], _OWN), [stored_bytes(through, token.encode(), "")])

    def covered(self) -> str:
        """The token of the last `cover`; empty when there was none."""
        return _text(self._own([COVERAGE])[0])

    def covered_through(self) -> int:
        """Through when everybody's profile is good; 0 when the store was never filled, or has lost its content."""
        return _covered(*self._own([COVERAGE, LIVE]))

    def mark(self, names: Sequence[str], *, through: int, position: int = 0) -> None:
        """Keep beside the profiles how far something has come; a mark never goes back."""
        self._write(_keys(names, _OWN), [stored_bytes(through, name.encode(), "", position) for name in names])

    def marked(self, names: Sequence[str]) -> list[int]:
        """The positions of marks, 0 where there is none: what the store has lost, its marks have lost too."""
        return self.marked_of_log(names)[1]

    def name_log(self, log: str) -> None:
        """Keep the id of the live log whose positions marks and profiles speak of from now on."""
        key = _keys([LOG], _OWN)
        for _ in range(TRIES):
            if all(self._swap(key, [stored_bytes(0, log.encode(), "")], self._read(key))):
                return
        raise UnavailableError("the name of the live log kept changing.", fix="look for a second job that writes it")

    def log(self) -> str:
        """The id of the live log that is folded in; empty where nothing says so."""
        return self.marked_of_log([])[0]

    def marked_of_log(self, names: Sequence[str]) -> tuple[str, list[int]]:
        """As `log` and `marked`, read at once."""
        log, *marks = self._own([LOG, *names])
        return _text(log), [stored_age(value)[0] if value is not None else 0 for value in marks]

    def _own(self, names: Sequence[str]) -> list[bytes | None]:
        """The store's own entries."""
        return self._found(names, self._read(_keys(names, _OWN)))

    def _found(self, names: Sequence[str], values: list[bytes | None]) -> list[bytes | None]:
        """Entries as they were read, or read again once those of an older store have been taken over."""
        if self._moved or None not in values:
            return values
        names_before = [COVERAGE, LIVE, *(f"shard-{i}" for i in range(_SHARDS_BEFORE))]
        before = _keys([_BEFORE + name for name in names_before])
        there = [(n, k, v) for n, k, v in zip(names_before, before, self._read(before), strict=True) if v is not None]
        if there:
            self._write(_keys([name for name, _, _ in there], _OWN), [value for _, _, value in there])
            with store_errors():
                self._exchange.remove([key for _, key, _ in there])
        self._moved = True
        return self._read(_keys(names, _OWN)) if there else values

    def read(self, users: Sequence[str]) -> dict[str, StoredProfile]:
        """Read profiles; users without one, and erased ones, are left out."""
        return self.read_covered(users).profiles

    def read_covered(self, users: Sequence[str]) -> "Found":
        """Read profiles as `read`, and `covered_through` with them.

        A profile that has not changed is not written again, so that it is good through whichever is later: its own
        instant, or the one the store covers. An id whose person is called by another id now is answered by that one.
        """
        *values, covered, live = self._read([*_keys(users), *_keys([COVERAGE, LIVE], _OWN)])
        through = _covered(*(self._found([COVERAGE, LIVE], [covered, live]) if covered is None else (covered, live)))
        stored = _profiles(users, values, through)
        now = {user: profile.identity.now for user, profile in stored.items() if profile.identity.now}
        if others := [user for user in dict.fromkeys(now.values()) if user not in stored]:
            stored |= _profiles(others, self.read_values(others), through)
        called = dict.fromkeys(now.get(user, user) for user in users)  # in the order in which they were asked for
        profiles = {user: stored[user] for user in called if user in stored and stored[user].words}
        return Found(profiles, through, now)

    def unpack(self, profiles: Iterable[StoredProfile]) -> Words:
        """Unpack the words of profiles, ``[profiles, words]``."""
        return unpack_all([profile.words for profile in profiles], self.layout)

    def pack(self, words: Words, through: int, traits: Mapping[str, str | None]) -> StoredProfile:
        """Pack a folded profile for `write`."""
        return StoredProfile(through, pack(words, self.layout), traits)


@dataclass(frozen=True, slots=True)
class Found:
    """What was read of users.

    Attributes:
        profiles: the profiles; those who have none are left out.
        covered: through when everybody's profile is good.
        now: of ids whose person is called by another id now, which one.
    """

    profiles: dict[str, StoredProfile]
    covered: int
    now: dict[str, str]


def _profiles(users: Sequence[str], values: Sequence[bytes | None], through: int) -> dict[str, StoredProfile]:
    found = zip(users, values, strict=True)
    return {user: StoredProfile.from_bytes(value, good=through) for user, value in found if value is not None}


def _keys(names: Sequence[str], kind: str = _USER) -> list[EntityKey]:
    return [EntityKey(join_keys=[kind], entity_values=[Value(string_val=name)]) for name in names]


def _newer(old: bytes, value: bytes) -> bool:
    """Whether a stored value has come further: through later positions, or where there are none, a later instant."""
    was, now = stored_age(old), stored_age(value)
    return was[0] > now[0] or (was[0] == now[0] == 0 and was[1] > now[1])


def _text(value: bytes | None) -> str:
    return stored_words(value).decode() if value is not None else ""


def _covered(covered: bytes | None, live: bytes | None) -> int:
    if covered is None:
        return 0
    return max(stored_through(covered), stored_through(live) if live is not None else 0)
