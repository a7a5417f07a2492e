"""The stores of a definition, copied aside as a backup does, brought back one by one, and lost."""

import json
import shutil
import sqlite3
import subprocess
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import redis
import sqlalchemy as sa

from features.definition import Definition
from features.settings import Settings
from tests.databases import postgres_programs

#: what each store is made of, in the folder of a definition
STORES = {
    "log": ("live.db",),
    "online": ("online.db",),
    "home": ("live", "events", "profiles"),
    "files": ("live",),
    "events": ("events",),
    "profiles": ("profiles",),
}


@dataclass(frozen=True)
class Stores:
    """A definition's stores: files under its home, or PostgreSQL for the live log and Redis for the profiles online.

    Attributes:
        definition: whose.
        settings: where they are.
    """

    definition: Definition
    settings: Settings

    @property
    def folder(self) -> Path:
        """The definition's folder under the home."""
        return self.settings.folder(self.definition.name)

    def keep(self, place: Path, *stores: str) -> None:
        """Copy stores aside; databases as their transactions left them."""
        place.mkdir(parents=True, exist_ok=True)
        for store in stores:
            if store == "log" and self._postgres:
                self._program("pg_dump", "-Fc", "-f", str(place / "log.dump"), "-d", self._postgres)
            elif store == "online" and self.settings.online_store == "redis":
                with self._redis() as client:
                    rows = {key.hex(): client.dump(key).hex() for key in client.scan_iter()}
                (place / "redis.json").write_text(json.dumps(rows))
            else:
                self._copy(store, self.folder, place)

    def bring_back(self, place: Path, *stores: str) -> None:
        """Put copies of stores in their place; nobody has them open."""
        for store in stores:
            if store == "log" and self._postgres:
                self.lose(store)
                self._program("pg_restore", "-d", self._postgres, "--no-owner", str(place / "log.dump"))
            elif store == "online" and self.settings.online_store == "redis":
                self.lose(store)
                with self._redis() as client:
                    for key, value in json.loads((place / "redis.json").read_text()).items():
                        client.restore(bytes.fromhex(key), 0, bytes.fromhex(value))
            else:
                self._copy(store, place, self.folder)

    def lose(self, *stores: str) -> None:
        """Remove stores, as a replaced disk has none; nobody has them open."""
        for store in stores:
            if store == "log" and self._postgres:
                engine = sa.create_engine(self.settings.live_log.get_secret_value())
                with engine.begin() as connection:
                    connection.execute(sa.text("DROP SCHEMA public CASCADE"))
                    connection.execute(sa.text("CREATE SCHEMA public"))
                engine.dispose()
            elif store == "online" and self.settings.online_store == "redis":
                with self._redis() as client:
                    client.flushall()
            else:
                for name in STORES[store]:
                    shutil.rmtree(self.folder / name, ignore_errors=True)
                    for end in ("", "-wal", "-shm") if name.endswith(".db") else ():
                        (self.folder / f"{name}{end}").unlink(missing_ok=True)

    @property
    def _postgres(self) -> str:
        """The address of the live log's PostgreSQL, for its own programs; empty where it is SQLite."""
        return self.settings.live_log.get_secret_value().replace("+psycopg", "")

    def _redis(self) -> redis.Redis:
        host, port = self.settings.redis.split(":")
        return redis.Redis(host, int(port))

    @staticmethod
    def _program(name: str, *arguments: str) -> None:
        subprocess.run([str(postgres_programs() / name), *arguments], check=True, capture_output=True)

    @staticmethod
    def _copy(store: str, source: Path, target: Path) -> None:
        for name in STORES[store]:
            if name.endswith(".db"):
                with closing(sqlite3.connect(source / name)) as old, closing(sqlite3.connect(target / name)) as new:
                    old.backup(new)
            else:
                shutil.rmtree(target / name, ignore_errors=True)
                if (source / name).exists():
                    shutil.copytree(source / name, target / name)
