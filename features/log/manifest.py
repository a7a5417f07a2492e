"""The manifest: which files make up the event store, switched at once, so that it is always one complete state."""

import hashlib
import os
import secrets
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from features.definition.schema import Definition
from features.errors import EventLogError

NAME = "manifest.json"

#: so many positions keep their tokens; a profile that is further behind is folded again
MOST_TOKENS = 1_000


class Strict(BaseModel):
    """A part of the manifest."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class TakenFile(Strict):
    """A file of the log whose rows are in the store: its name, and size and time of change when they were taken."""

    path: str
    size: int
    changed: int
    counts: dict[str, int]

    @classmethod
    def of(cls, file: Path, name: str, counts: dict[str, int]) -> "TakenFile":
        """Describe a file as it is now."""
        stat = file.stat()
        return cls(path=name, size=stat.st_size, changed=stat.st_mtime_ns, counts=counts)


class Part(Strict):
    """Rows of one bucket, sorted, in a file that never changes.

    Attributes:
        bucket: whose users.
        name: the file.
        rows: how many.
        first: earliest event time.
        last: latest event time.
        position: the position of the log at which the rows came in.
    """

    bucket: int
    name: str
    rows: int
    first: int
    last: int
    position: int


class Manifest(Strict):
    """A complete state of the event store.

    Attributes:
        made_of: digest of what of the definition the rows depend on.
        buckets: into how many the users are spread.
        generation: how many times the store has been built anew; positions begin again with each.
        position: how many times rows have come in or gone; profiles say through which one they are folded.
        files: what has been taken in.
        parts: what there is.
        doubles: rows left out, because the same user had an event of the same id.
        buried: rows taken out again, because their user was erased.
        erased: marks of the users who were taken out, as `Tombstones` has them; their events never come in again.
        merged: by bucket, a position through which its parts no longer tell which rows came in when: who has folded
            less than that folds the bucket again.
        history: of positions a random token each, so that a store that came back from a backup and went on differently
            is told from the one that a profile was folded from.
    """

    made_of: str
    buckets: int
    generation: int
    position: int
    files: list[TakenFile]
    parts: list[Part]
    doubles: int = 0
    buried: int = 0
    erased: list[int | str] = []
    merged: dict[int, int] = {}
    history: dict[int, str] = {}

    @property
    def name(self) -> str:
        """What tells this store, and this building of it, from others; positions are compared within one."""
        return f"{self.made_of}-{self.generation}"

    @property
    def token(self) -> str:
        """The token of the position; empty where an older version came to it."""
        return self.history.get(self.position, "")

    def has_been(self, position: int, token: str) -> bool:
        """Whether this store has been at a position, and not another copy of it."""
        return position <= self.position and self.history.get(position, "") == token

    def marked(self) -> "Manifest":
        """This state with a token for its position."""
        if self.position in self.history:
            return self
        newest = sorted(self.history.items())[-MOST_TOKENS:]
        return self.model_copy(update={"history": {**dict(newest), self.position: secrets.token_hex(4)}})

    def of_bucket(self, bucket: int) -> list[Part]:
        """A bucket's parts, oldest first."""
        return [part for part in self.parts if part.bucket == bucket]

    def save(self, folder: Path) -> None:
        """Switch the store in a folder to this state; its parts are there already."""
        write_durably(folder / NAME, self.model_dump_json().encode())

    @classmethod
    def load(cls, folder: Path) -> "Manifest | None":
        """The state of the store in a folder, or None when nothing was ever completed there.

        Raises:
            EventLogError: the file is not a manifest.
        """
        path = folder / NAME
        if not path.exists():
            return None
        try:
            return cls.model_validate_json(path.read_bytes())
        except ValueError as error:
            raise EventLogError(
                f"{path} is not a manifest: {str(error).splitlines()[0]}.",
                fix=f"remove {folder}; it is built anew from the log",
            ) from error


def made_of(definition: Definition, paths: list[str]) -> str:
    """Digest of what a store's rows depend on: place, columns, exclusions and signals, not windows or outcomes."""
    events = definition.events.model_dump_json(exclude={"path", "ends"}) + "".join(paths)
    signals = "".join(f"{name}{s.where}|{s.value};" for name, s in definition.signals.items())
    return hashlib.sha256(f"3{events}{signals}".encode()).hexdigest()[:8]


def write_durably(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, whatever ends the process."""
    fresh = path.with_name(path.name + ".new")
    with fresh.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
