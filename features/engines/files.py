"""The files of a log: what paths, patterns, folders and partitions name, the same for every engine."""

import glob
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import unquote, urlparse

from features.errors import EventLogError

#: how a file is read, by the end of its name
KINDS = {"parquet": "parquet", "pq": "parquet", "csv": "csv", "tsv": "csv", "duckdb": "duckdb", "db": "duckdb"}

_PARTITION = re.compile(r"^([A-Za-z_][\w.-]*)=(.*)$")


def suffix_of(file: Path) -> str:
    """The end of a file's name that says its kind: ``csv`` of ``day.csv.gz``."""
    return file.name.lower().removesuffix(".gz").rsplit(".", 1)[-1]


def kind_of(files: list[Path]) -> str:
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
    files = list(dict.fromkeys(file for path in paths for file in _named(path)))
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


def partitions_of(file: Path) -> dict[str, str]:
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
    parts = urlparse(address)
    if parts.scheme != "file" or parts.netloc not in ("", "localhost"):
        raise EventLogError(
            f"{address} is not on this machine.",
            fix="name it in events.sources, or set PROPENSITY_ENGINE=spark",
        )
    return Path(unquote(parts.path))


def shown(paths: list[Path]) -> str:
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
        raise EventLogError(
            f"{folder} is a Delta table; its files hold rows that were deleted since.",
            fix="name it in events.sources, as kind: delta",
        )
    files = (file for file in folder.rglob("*") if file.is_file() and _is_ours(file.relative_to(folder).parts))
    yield from sorted(file for file in files if suffix_of(file) in KINDS)


def _is_ours(parts: Iterable[str]) -> bool:
    """Whether a path holds data: what begins with ``_`` or ``.`` is other programs' bookkeeping."""
    return not any(part.startswith(("_", ".")) for part in parts)
