"""Exchanging values in Feast's online stores: written only where nothing has changed since they were read."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import features.system.in_memory  # noqa: F401

from feast import FeatureView, RepoConfig
from feast.infra.key_encoding_utils import serialize_entity_key
from feast.infra.online_stores.helpers import _mmh3, _redis_key
from feast.infra.online_stores.sqlite import SqliteOnlineStore
from feast.infra.provider import Provider
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from google.protobuf.timestamp_pb2 import Timestamp

from features.system.files.same_file import SameFile
from features.time import to_datetime

FEATURE = "profile"

Row: TypeAlias = tuple[EntityKey, bytes, int]
"""An entity's key, its new value, and the instant that Feast keeps with it."""


class Exchange(Protocol):
    """How one kind of store exchanges values."""

    def read(self, keys: Sequence[EntityKey]) -> list[bytes | None]:
        """What is stored of each entity."""
        ...

    def swap(self, rows: Sequence[Row], was: Sequence[bytes | None]) -> list[bool]:
        """Write each row whose stored value is still what it was, all others being left alone.

        Returns:
            Which rows were written.
        """
        ...

    def remove(self, keys: Sequence[EntityKey], *, everywhere: bool = False) -> int:
        """Remove entities, also from the stores of the definition's other feature sets; returns how many entries."""
        ...

    def count(self, keys: Sequence[EntityKey]) -> int:
        """How many entries of entities there are in the stores of all feature sets of the definition."""
        ...


class SqliteExchange:
    """In Feast's SQLite store: read, compare and write in one transaction of Feast's own connection."""

    def __init__(self, provider: Provider, config: RepoConfig, view: FeatureView) -> None:
        self._provider, self._config, self._view = provider, config, view
        store: SqliteOnlineStore = provider.online_store
        self._connection = store._get_conn(config)
        # readers go on while somebody writes; and what is kept here can be made again, so that a commit need not wait
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = NORMAL")
        self._connection.execute("PRAGMA secure_delete = ON")  # what is removed is overwritten
        self._file = SameFile(Path(store._get_db_path(config)))
        self._table = f"{config.project}_{view.name}"

    def read(self, keys: Sequence[EntityKey]) -> list[bytes | None]:
        """As `Exchange.read`."""
        self._file.check_reading()
        found = self._provider.online_read(self._config, self._view, list(keys), [FEATURE])
        return [row[FEATURE].bytes_val or None if row else None for _, row in found]

    def swap(self, rows: Sequence[Row], was: Sequence[bytes | None]) -> list[bool]:
        """As `Exchange.swap`."""
        self._file.check()
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            now = self.read([key for key, _, _ in rows])
            same = [a == b for a, b in zip(now, was, strict=True)]
            fresh = [
                (key, {FEATURE: Value(bytes_val=value)}, to_datetime(at), None)
                for (key, value, at), unchanged in zip(rows, same, strict=True)
                if unchanged
            ]
            self._provider.online_write_batch(self._config, self._view, fresh, None)  # commits
        except BaseException:
            self._connection.rollback()
            raise
        return same

    def remove(self, keys: Sequence[EntityKey], *, everywhere: bool = False) -> int:
        """As `Exchange.remove`."""
        self._file.check()
        named = self._named(keys)
        with self._connection as connection:
            gone = [
                connection.executemany(f'DELETE FROM "{table}" WHERE entity_key = ?', named).rowcount  # noqa: S608
                for table in (self._tables() if everywhere else [self._table])
            ]
        return int(sum(gone))

    def count(self, keys: Sequence[EntityKey]) -> int:
        """As `Exchange.count`."""
        self._file.check_reading()
        asked = [f'SELECT count(*) FROM "{table}" WHERE entity_key = ?' for table in self._tables()]  # noqa: S608
        return sum(int(self._connection.execute(sql, key).fetchone()[0]) for sql in asked for key in self._named(keys))

    def _tables(self) -> list[str]:
        """The tables of all feature sets: each has one of its own, and all lie in the definition's file."""
        names = self._connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        return [name for (name,) in names if self._has_keys(name)]

    def _has_keys(self, table: str) -> bool:
        return any(row[1] == "entity_key" for row in self._connection.execute(f'PRAGMA table_info("{table}")'))

    def _named(self, keys: Sequence[EntityKey]) -> list[tuple[bytes]]:
        return [(serialize_entity_key(key, self._config.entity_key_serialization_version),) for key in keys]


#: where the stored value is what the caller has read, write what the caller has made of it
_SWAP = """
local done = {}
for i, key in ipairs(KEYS) do
  local now = redis.call('HGET', key, ARGV[1]) or ''
  done[i] = 0
  if now == ARGV[3 * i] then
    redis.call('HSET', key, ARGV[1], ARGV[3 * i + 1], ARGV[2], ARGV[3 * i + 2])
    done[i] = 1
  end
end
return done
"""

#: values exchanged by one call of the script: Redis answers nobody else meanwhile
TOGETHER = 100


class RedisExchange:
    """In Feast's Redis store: read, compared and written by Redis itself, in the form in which Feast has it."""

    def __init__(self, provider: Provider, config: RepoConfig, view: FeatureView) -> None:
        self._config = config
        self._client: Any = provider.online_store._get_client(config.online_store)
        self._field, self._time = _mmh3(f"{view.name}:{FEATURE}"), f"_ts:{view.name}"
        self._swap = self._client.register_script(_SWAP)

    def read(self, keys: Sequence[EntityKey]) -> list[bytes | None]:
        """As `Exchange.read`; Feast would read when each was written, too, which takes twice as long."""
        with self._client.pipeline(transaction=False) as pipe:
            for key in keys:
                pipe.hget(self._key(key), self._field)
            return [Value.FromString(value).bytes_val or None if value else None for value in pipe.execute()]

    def swap(self, rows: Sequence[Row], was: Sequence[bytes | None]) -> list[bool]:
        """As `Exchange.swap`."""
        with self._client.pipeline(transaction=False) as pipe:
            for lo in range(0, len(rows), TOGETHER):
                some, before = rows[lo : lo + TOGETHER], was[lo : lo + TOGETHER]
                args = [part for row, old in zip(some, before, strict=True) for part in _written(row, old)]
                self._swap([self._key(key) for key, _, _ in some], [self._field, self._time, *args], client=pipe)
            return [bool(written) for done in pipe.execute() for written in done]

    def remove(self, keys: Sequence[EntityKey], *, everywhere: bool = False) -> int:
        """As `Exchange.remove`."""
        found = self._everywhere(keys) if everywhere else [self._key(key) for key in keys]
        return int(self._client.delete(*found)) if found else 0

    def count(self, keys: Sequence[EntityKey]) -> int:
        """As `Exchange.count`."""
        return len(self._everywhere(keys))

    def _everywhere(self, keys: Sequence[EntityKey]) -> list[bytes]:
        """The keys of entities in all projects of the definition: Redis is asked for all it has that begin so."""
        name = self._config.project.rsplit("_", 2)[0]
        project, found = re.compile(rf"{re.escape(name)}_[0-9a-f]+_\d+".encode()), list[bytes]()
        own = len(self._config.project.encode())
        for key in keys:
            entity = self._key(key)[:-own]
            asked = self._client.scan_iter(match=re.sub(rb"([*?\[\]\\^])", rb"\\\1", entity) + b"*", count=10_000)
            found += [one for one in asked if project.fullmatch(one[len(entity) :])]
        return found

    def _key(self, key: EntityKey) -> bytes:
        version = self._config.entity_key_serialization_version
        return bytes(_redis_key(self._config.project, key, entity_key_serialization_version=version))


def _written(row: Row, was: bytes | None) -> tuple[bytes, bytes, bytes]:
    """The former and the new value, and when it was written, as Feast writes them in Redis."""
    _, value, at = row
    time = Timestamp()
    time.FromDatetime(to_datetime(at))
    old = Value(bytes_val=was).SerializeToString() if was is not None else b""
    return old, Value(bytes_val=value).SerializeToString(), time.SerializeToString()
