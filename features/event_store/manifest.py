"""The manifest: which files make up the event store, switched at once, so that it is always one complete state."""

import hashlib
import secrets
from pathlib import Path

from pydantic import BaseModel, ConfigDict, model_validator

from features.definition.numbers import event_numbers
from features.definition.schema import Definition
from features.errors import EventLogError
from features.reading.findings import Finding
from features.system.files.durable import write_durably
from features.system.files.kept_files import sealed, unsealed

NAME = "manifest.json"

#: so many positions keep their tokens; a profile that is further behind is folded again
MOST_TOKENS = 1_000


#: what older versions called things
_RENAMED = {"doubles": "duplicates", "buried": "erased_rows"}


class Strict(BaseModel):
    """A part of the manifest."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class TakenFile(Strict):
    """A file of the log whose rows are in the store.

    Attributes:
        path: its name.
        size: its size when they were taken.
        changed: when its content was changed last, by the file system; a program can set this time.
        status: when anything of it was changed last; nobody can set this time. 0 where it was so recent that another
            change would show the same.
        content: digest of what it held; of a view, of its rows.
        counts: its rows, and those left out by reason.
        findings: what of it could not be read, or is doubtful.
    """

    path: str
    size: int
    changed: int
    status: int = 0
    content: str = ""
    counts: dict[str, int]
    findings: dict[str, Finding] = {}

    @classmethod
    def of(cls, file: Path, name: str, *, now: int, content: str = "") -> "TakenFile":
        """Describe a file as it is, before its rows are read: what is added meanwhile is a change.

        Args:
            file: the file.
            name: what the log calls it.
            now: the time of the file system, in nanoseconds.
            content: digest of the rows, where the file does not say whether they changed.
        """
        stat = file.stat()
        known = content or digest_of(file)
        grain = COARSE if stat.st_ctime_ns % 1_000_000_000 == 0 else FINE
        settled = stat.st_ctime_ns if now - stat.st_ctime_ns > grain else 0
        return cls(path=name, size=size_of(file), changed=stat.st_mtime_ns, status=settled, content=known, counts={})

    def is_still(self, file: Path, content: str = "") -> bool:
        """Whether a file holds what it held; it is read where its times do not show it.

        Args:
            file: the file.
            content: digest of the rows, where the file does not say whether they changed.
        """
        if content or self.size != size_of(file):
            return content == self.content
        stat = file.stat()
        if (stat.st_mtime_ns, stat.st_ctime_ns) == (self.changed, self.status):
            return True
        return digest_of(file) == self.content


#: nanoseconds within which a file system may give two changes one time
FINE, COARSE = 20_000_000, 2_000_000_000


def _with_log(file: Path) -> list[Path]:
    """A file, and what DuckDB has written beside it and not yet into it."""
    beside = file.with_name(file.name + ".wal")
    return [file, beside] if beside.exists() else [file]


def size_of(file: Path) -> int:
    """The size of a file, with what lies beside it."""
    return sum(part.stat().st_size for part in _with_log(file))


def digest_of(file: Path) -> str:
    """A digest of what a file holds."""
    whole = hashlib.sha256()
    for part in _with_log(file):
        with part.open("rb") as opened:
            whole.update(hashlib.file_digest(opened, "sha256").digest())
    return whole.hexdigest()[:16]


class IdRun(Strict):
    """A file of sorted ids (`features.event_store.repeated.id_runs`).

    Attributes:
        name: the file.
        ids: how many it holds.
    """

    name: str
    ids: int


class Part(Strict):
    """Rows of one bucket, sorted, in a file that never changes.

    Attributes:
        bucket: whose users.
        name: the file.
        rows: how many.
        first: earliest event time.
        last: latest event time.
        position: the position of the log at which the rows came in.
        blocks: how many of them each block of time has (`features.reading.clocks`).
    """

    bucket: int
    name: str
    rows: int
    first: int
    last: int
    position: int
    blocks: dict[int, int] = {}


class Manifest(Strict):
    """A complete state of the event store.

    Attributes:
        made_of: digest of what of the definition the rows depend on.
        buckets: into how many the users are spread.
        generation: how many times the store has been rebuilt; positions begin again with each.
        position: how many times rows have come in or gone; profiles say through which one they are folded.
        files: what has been taken in.
        parts: what there is.
        by_arrival: rows say when they arrived; else the order of the log says which is the newer.
        duplicates: rows left out, because another row of the same id counts.
        repeats: files of what is known of ids that came more than once, oldest first (`features.events.repeats`).
        differing: how many ids stand on rows that differ.
        shared: how many ids several users have sent.
        erased_rows: rows taken out again, because their user was erased.
        erased: marks of the users who were taken out, as `Tombstones` has them; their events never come in again.
        types: types of CSV columns that the log's values have decided; later files obey them.
        merged: by bucket, a position through which its parts no longer tell which rows came in when: who has folded
            less than that folds the bucket again.
        history: of positions a random token each, so that a store that came back from a backup and went on differently
            is distinguished from the one that a profile was folded from.
        refunds: rows that take value away are no events; where an older version wrote this, they were.
        ids: sorted runs of the ids of all rows; none where an older version wrote this or somebody was erased since:
            then who takes rows in reads the ids of the parts.
        merges: files of the merges that rows with two ids have reported (`features.identities.merges.MERGES`).
        place: where the parts are (`features.system.files.places.Place`); beside this file where it is empty.
        columns: the log's columns with Spark's types, where executors have taken it in.
    """

    made_of: str
    buckets: int
    generation: int
    position: int
    files: list[TakenFile]
    parts: list[Part]
    by_arrival: bool = True
    duplicates: int = 0
    repeats: list[str] = []
    differing: int = 0
    shared: int = 0
    erased_rows: int = 0
    erased: list[int | str] = []
    types: dict[str, str] = {}
    merged: dict[int, int] = {}
    history: dict[int, str] = {}
    refunds: bool = False
    ids: list[IdRun] = []
    merges: list[str] = []
    place: str = ""
    columns: dict[str, str] = {}

    @model_validator(mode="before")
    @classmethod
    def _renamed(cls, content: object) -> object:
        """A manifest of an older version opens."""
        if not isinstance(content, dict):
            return content
        return {_RENAMED.get(name, name): value for name, value in content.items()}

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

    @property
    def by_bucket(self) -> dict[int, list[Part]]:
        """The parts of each bucket that has some, oldest first."""
        found: dict[int, list[Part]] = {}
        for part in self.parts:
            found.setdefault(part.bucket, []).append(part)
        return found

    def of_bucket(self, bucket: int) -> list[Part]:
        """A bucket's parts, oldest first."""
        return [part for part in self.parts if part.bucket == bucket]

    def save(self, folder: Path) -> None:
        """Switch the store in a folder to this state; its parts are there already."""
        write_durably(folder / NAME, sealed(self.model_dump_json()))

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
            return cls.model_validate_json(unsealed(path.read_bytes()))
        except ValueError as error:
            raise EventLogError(
                f"{path} is not a manifest: {str(error).splitlines()[0]}.",
                fix=f"remove {folder}; it is rebuilt from the log",
            ) from error


def made_of(definition: Definition, paths: list[str]) -> str:
    """Digest of what a store's rows depend on: place, columns, exclusions and signals, not windows or outcomes."""
    events = definition.events.model_dump_json(exclude={"path", "sources", "ends", "at_most"}) + "".join(paths)
    signals = "".join(f"{name}{s.where}|{s.value};" for name, s in definition.signals.items())
    signals += "".join(
        f"{number.place}|{number.sql};" for number in event_numbers(definition) if number.part != "value"
    )
    signals += "".join(f"{name}.refund|{s.refund};" for name, s in definition.signals.items() if s.refund)
    # before, refunds that are no rows of the signal were kept without the key of their order
    signals += "".join(f"{name}.returns;" for name, s in definition.signals.items() if s.refund and s.order)
    signals += "".join(f"{name}.currency|{s.currency};" for name, s in definition.signals.items() if s.currency)
    signals += definition.currencies.model_dump_json() if definition.currencies is not None else ""
    alias = definition.identities.alias if definition.identities is not None else None
    signals += f"identities.alias|{alias};" if alias is not None else ""
    return hashlib.sha256(f"6{events}{signals}".encode()).hexdigest()[:8]
