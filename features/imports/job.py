"""The import of an export: each of its files once, again where it has changed, and nothing twice."""

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from features.engines.files import files_of
from features.errors import EventLogError
from features.imports.archives import ENDS, skipped
from features.imports.convert import Converted, convert
from features.imports.importer import Importer
from features.system.files.lock import locked
from features.system.progress import Progress, ignore

_SOURCE, _CONTENT, _MAPPING = "propensity.source", "propensity.content", "propensity.mapping"


@dataclass(frozen=True, slots=True)
class Passed:
    """A file that was not converted.

    Attributes:
        file: the exported file.
        why: a few words.
    """

    file: Path
    why: str


def import_files(
    paths: Sequence[Path], importer: Importer, to: Path, progress: Progress = ignore
) -> Iterator[Converted | Passed]:
    """Convert the files of an export, one Parquet file each.

    A file is known by its content: one that was converted before is passed over, wherever it lies now; one that has
    changed since takes the place of what it was. What was made of files that are gone stays.

    Args:
        paths: files, folders and patterns.
        importer: the mapping.
        to: the folder of the log; it is made.
        progress: gets each file that is done.

    Raises:
        EventLogError: there is no file, or one cannot be converted; those before it are.
        UnavailableError: another import into the folder is under way.
    """
    exported = list(dict.fromkeys(file for path in paths for file in _exported(path)))
    if not exported:
        raise EventLogError(f"no exported file at {', '.join(str(path) for path in paths)}.", fix="check the paths")
    mapping = hashlib.sha256(importer.model_dump_json().encode()).hexdigest()
    to.mkdir(parents=True, exist_ok=True)
    with locked(to):
        made = _Made(to)
        for file in exported:
            yield _one(file, importer, to, mapping, made)
            progress(1)


def _exported(path: Path) -> Iterator[Path]:
    """The files that a path names: of a folder those that exports consist of."""
    if not path.is_dir():
        yield from files_of([path])
        return
    for file in sorted(path.rglob("*")):
        hidden = any(part.startswith((".", "_")) for part in file.relative_to(path).parts)
        if file.is_file() and not hidden and file.name.lower().endswith(ENDS):
            yield file


def _one(file: Path, importer: Importer, to: Path, mapping: str, made: "_Made") -> Converted | Passed:
    if skipped(file, importer):
        return Passed(file, "left out by the importer")
    source, content = str(file.resolve()), _content(file)
    marks = {_SOURCE: source, _CONTENT: content, _MAPPING: mapping}
    target = to / f"{_stem(file)}-{hashlib.sha256(source.encode()).hexdigest()[:8]}.parquet"
    if (earlier := made.by_content.get(content)) is not None:
        known = made.marks[earlier]
        if known[_MAPPING] == mapping:
            same = "imported before" if known[_SOURCE] == source else f"same content as {Path(known[_SOURCE]).name}"
            return Passed(file, same)
        target = earlier  # of another mapping, and maybe of another place: it is made again
    converted = convert(file, importer, target, marks)
    made.add(target, marks)
    return converted


class _Made:
    """What imports have made in a folder, by file and by content.

    Raises:
        EventLogError: a file of the folder is damaged, or is not of an import.
    """

    def __init__(self, folder: Path) -> None:
        self.marks: dict[Path, dict[str, str]] = {}
        self.by_content: dict[str, Path] = {}
        for path in sorted(folder.glob("*.parquet")):
            try:
                marks = {k.decode(): v.decode() for k, v in (pq.read_metadata(path).metadata or {}).items()}
            except (OSError, pa.ArrowException) as error:
                raise EventLogError(f"{path} cannot be read: {error}.", fix="remove it: it is made again") from error
            if _SOURCE not in marks:
                raise EventLogError(f"{path} was not made by an import.", fix="import into a folder of its own")
            self.add(path, marks)

    def add(self, path: Path, marks: dict[str, str]) -> None:
        """Remember a file that was made, maybe in the place of another."""
        if path in self.marks and self.by_content.get(old := self.marks[path][_CONTENT]) == path:
            del self.by_content[old]
        self.marks[path] = marks
        self.by_content[marks[_CONTENT]] = path


def _content(file: Path) -> str:
    """The SHA-256 of a file."""
    try:
        with file.open("rb") as content:
            return hashlib.file_digest(content, "sha256").hexdigest()
    except OSError as error:
        raise EventLogError(f"{file} cannot be read: {error.strerror}.", fix="check the disk and its rights") from error


def _stem(file: Path) -> str:
    """A file's name without its ends, of letters that every file system takes."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", file.name.split(".")[0])[:60] or "part"
