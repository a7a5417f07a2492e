"""The files of a log: what paths, patterns, folders and partitions name, the same for every engine."""

import glob
import re
from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path, PurePath
from typing import TypeVar
from urllib.parse import unquote

from features.errors import EventLogError

#: how a file is read, by the end of its name
KINDS = {"parquet": "parquet", "pq": "parquet", "csv": "csv", "tsv": "csv", "duckdb": "duckdb", "db": "duckdb"}

F = TypeVar("F", bound=PurePath)

_PARTITION = re.compile(r"^([A-Za-z_][\w.-]*)=(.*)$")


def suffix_of(file: PurePath) -> str:
    """The end of a file's name that says its kind: ``csv`` of ``day.csv.gz``."""
    return file.name.lower().removesuffix(".gz").rsplit(".", 1)[-1]


def kind_of(files: Sequence[PurePath]) -> str:
    """The kind of some files: ``parquet``, ``csv`` or ``duckdb``.

    Raises:
        EventLogError: they are of different kinds, or of an unknown one.
    """
    found = {suffix_of(file) for file in files}
    kinds = {KINDS.get(suffix, suffix) for suffix in found}
    if len(kinds) != 1:
        raise EventLogError(f"{shown(files)} mixes {', '.join(sorted(found))}.", fix="name files of one kind")
    kind = kinds.pop()
    if kind not in KINDS.values():
        exported = kind in ("json", "jsonl", "ndjson", "zip", "tar", "tgz", "zst", "gz")
        make = "; propensity import makes a log of exports of other tools" if exported else ""
        fix = f"use .parquet, .csv, .csv.gz, .tsv or .duckdb{make}"
        raise EventLogError(f"{shown(files)} is of kind {kind!r}.", fix=fix)
    return kind


def files_of(paths: list[Path]) -> list[Path]:
    """The files that paths name today, in order: files, folders, and patterns with ``*``, ``?``, ``[…]`` and ``**``.

    Raises:
        EventLogError: there is none, a folder is a Delta table, or only some files lie in partition folders.
    """
    return of_one_layout(list(dict.fromkeys(file for path in paths for file in _named(path))), paths)


def of_one_layout(files: list[F], paths: Sequence[object]) -> list[F]:
    """The same files, checked.

    Args:
        files: what was found.
        paths: what was asked for.

    Raises:
        EventLogError: there is none, or only some files lie in partition folders.
    """
    if not files:
        raise EventLogError(
            f"no file at {', '.join(str(p) for p in paths)}.",
            fix="check 'path'; relative paths start at the definition's folder",
        )
    keys = {tuple(partitions_of(file)) for file in files}
    if len(keys) > 1:
        some = next(file for file in files if tuple(partitions_of(file)) != tuple(partitions_of(files[0])))
        raise EventLogError(
            f"{files[0]} and {some} lie in folders of different partitions.", fix="name files of one layout in 'path'"
        )
    return files


def fixed_part(path: PurePath) -> PurePath:
    """The folder, or the file, below which a path or a pattern names files."""
    parts = path.parts
    magic = next((i for i, part in enumerate(parts) if glob.has_magic(part)), len(parts))
    return PurePath(*parts[:magic])


def chosen(root: PurePath, pattern: Sequence[str], listed: Iterable[PurePath]) -> list[PurePath]:
    """Of all files below a folder those that a pattern names, as `files_of` chooses them on a disk.

    Args:
        root: a folder, or the only file.
        pattern: the parts of the path below it; none where all of it is asked for.
        listed: the files of a store that has no folders.

    Raises:
        EventLogError: a folder is a Delta table.
    """
    first, by_name = len(root.parts), bool(pattern) and pattern[0].startswith(("_", "."))

    def named(file: PurePath) -> bool:
        parts, found = file.parts, False
        for n in range(first, len(parts) + 1):
            if not _fits(pattern, parts[first:n]) or not (by_name or _is_ours(parts[first:n])):
                continue
            if n < len(parts) and parts[n] == "_delta_log":
                raise _delta(PurePath(*parts[:n]))
            found |= n == len(parts) or (suffix_of(file) in KINDS and _is_ours(parts[n:]))
        return found

    return sorted(filter(named, listed))


def _fits(pattern: Sequence[str], parts: Sequence[str]) -> bool:
    """Whether a pattern names a path, part by part; ``**`` is any number of folders."""
    if not pattern or not parts:
        return all(part == "**" for part in pattern) and not parts
    if pattern[0] == "**":
        return _fits(pattern[1:], parts) or (not parts[0].startswith(".") and _fits(pattern, parts[1:]))
    hidden = parts[0].startswith(".") and not pattern[0].startswith(".")
    return not hidden and fnmatchcase(parts[0], pattern[0]) and _fits(pattern[1:], parts[1:])


def partitions_of(file: PurePath) -> dict[str, str]:
    """What the folders of a file say: ``{"date": "2026-01-01"}`` of ``log/date=2026-01-01/part.parquet``."""
    found = (_PARTITION.match(part) for part in file.parts[:-1])
    return {match[1]: unquote(match[2]) for match in found if match}


def path_of(address: str, folder: Path) -> Path:
    """A path as the definition writes it: absolute, relative to the definition's folder, or a ``file://`` address.

    Raises:
        EventLogError: the address is of another machine.
    """
    if "://" not in address:
        return Path(address) if Path(address).is_absolute() else folder / address
    scheme, _, rest = address.partition("://")
    host, _, path = rest.partition("/")  # what stands after a ? is no query: it is a pattern
    if scheme != "file" or host not in ("", "localhost"):
        raise EventLogError(
            f"{address} is not on this machine.",
            fix="name it in events.sources, or set PROPENSITY_ENGINE=spark",
        )
    return Path("/" + unquote(path))


def shown(paths: Sequence[PurePath]) -> str:
    """Name files, the first few of many."""
    more = f" and {len(paths) - 3:,} more" if len(paths) > 3 else ""
    return ", ".join(str(p) for p in paths[:3]) + more


def _named(path: Path) -> Iterator[Path]:
    if path.exists():  # also where its name holds a bracket
        yield from _inside(path) if path.is_dir() else [path]
    elif glob.has_magic(str(path)):
        first = next(i for i, part in enumerate(path.parts) if glob.has_magic(part))
        for found in sorted(Path(name) for name in glob.glob(str(path), recursive=True)):
            if not path.parts[first].startswith(("_", ".")) and not _is_ours(found.parts[first:]):
                continue
            yield from _inside(found) if found.is_dir() else [found]


def _inside(folder: Path) -> Iterator[Path]:
    if (folder / "_delta_log").exists():
        raise _delta(folder)
    files = (file for file in folder.rglob("*") if file.is_file() and _is_ours(file.relative_to(folder).parts))
    yield from sorted(file for file in files if suffix_of(file) in KINDS)


def _delta(folder: PurePath) -> EventLogError:
    return EventLogError(
        f"{folder} is a Delta table; its files hold rows that were deleted since.",
        fix="name it in events.sources, as kind: delta",
    )


def _is_ours(parts: Iterable[str]) -> bool:
    """Whether a path holds data: what begins with ``_`` or ``.`` is other programs' bookkeeping."""
    return not any(part.startswith(("_", ".")) for part in parts)
