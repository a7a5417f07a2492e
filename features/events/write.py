"""Writing what is made of a log as Parquet, a run of users at a time, complete or not at all."""

import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from features.events.events import Events
from features.events.hashing import hashed
from features.system.files.durable import new_folder, replace_folder, replacing
from features.system.files.places import Place
from features.system.parallel import each
from features.system.progress import Progress

Work: TypeAlias = Callable[[Events], Iterator[pl.DataFrame]]
"""What is made of the events of some users, frame by frame."""

JoinedWork: TypeAlias = Callable[[Events, pl.DataFrame | None], Iterator[pl.DataFrame]]
"""The same of events and of the rows of a table that are of the same users, at least; see `Log.write_joined`."""

Gather: TypeAlias = Callable[[Path, Sequence[str], Callable[[pl.DataFrame], pl.DataFrame]], pl.DataFrame]
"""Brings together what is made of each part of a written folder; see `Log.gather`."""

Map: TypeAlias = Callable[[Callable[[Events], int]], Iterator[int]]


def write_frames(runs: Map, work: Work, folder: Path, *, by: str | None, progress: Progress) -> int:
    """Write the frames of all runs of users.

    Args:
        runs: calls a function with each run's events, on all cores.
        work: makes frames of them.
        folder: replaced when all is written, so that a run killed half-way leaves what was there.
        by: a text column; its values become folders ``<by>=<value>``, and it is not in the files.
        progress: gets each run that is done.

    Returns:
        The number of rows.
    """
    fresh = folder.with_name(folder.name + ".new")
    shutil.rmtree(fresh, ignore_errors=True)
    new_folder(fresh)

    def write(events: Events) -> int:
        first = int(hashed(pa.chunked_array([[events.users[0]]]))[0]) & (2**63 - 1)
        return sum(write_parts(work(events), Place(str(fresh)), f"{first:016x}", by=by).values())

    total = 0
    for rows in runs(write):
        total += rows
        progress(1)
    replace_folder(fresh, folder)
    return total


def write_parts(frames: Iterable[pl.DataFrame], place: Place, name: str, *, by: str | None) -> dict[str, int]:
    """Write the frames of one run of users.

    Args:
        frames: all rows of a user are in one of them.
        place: gets the files.
        name: tells them from those of other runs.
        by: as for `write_frames`.

    Returns:
        The rows of each file.
    """
    written: dict[str, int] = {}
    for i, frame in enumerate(frames):
        parts = {None: frame} if by is None else frame.partition_by(by, as_dict=True, include_key=False)
        for key, part in parts.items():
            below = place if key is None else place / f"{by}={key[0]}"
            below.make()
            if len(part):
                file = f"part-{name}-{i:03d}.parquet"
                below.write(file, part)
                written[file if key is None else f"{by}={key[0]}/{file}"] = len(part)
    return written


def rows_of_users(file: Path, column: str, users: Sequence[str], *, remove: bool = False) -> int:
    """How many rows of a file are of some users; they are taken out of it where that is asked for.

    Args:
        file: a Parquet file.
        column: names the users.
        users: whose rows.
        remove: rewrite the file without them, whole or not at all; what it says of itself stays.
    """
    asked = pl.Series(list(users), dtype=pl.String).implode()
    theirs = _ids(column, pl.read_parquet_schema(file)[column]).is_in(asked)
    found = int(pl.scan_parquet(file, hive_partitioning=False).filter(theirs).select(pl.len()).collect().item())
    if found and remove:
        table = pq.read_table(file, partitioning=None)
        keep = ~pl.DataFrame(table.select([column])).select(theirs.fill_null(False)).to_series()
        metadata = {key: value for key, value in pq.read_metadata(file).metadata.items() if key != b"ARROW:schema"}
        with replacing(file) as fresh, pq.ParquetWriter(fresh, table.schema, compression="lz4") as rest:
            rest.write_table(table.filter(pa.array(keep.to_arrow())))
            rest.add_key_value_metadata(metadata)
        file.with_name(f".{file.name}.crc").unlink(missing_ok=True)  # Spark's checksum is of the file's content before
    return found


def _ids(column: str, dtype: pl.DataType) -> pl.Expr:
    """User ids in their normal form; the files here are ours, so that text is in it already."""
    text = pl.col(column).cast(pl.String)
    return text.str.replace(r"\.0+$", "") if dtype.is_float() or dtype.is_decimal() else text


def parts_of_users(folder: Path) -> list[list[Path]]:
    """The files of a written folder, those of the same users together: they have one name in all its folders."""
    parts: dict[str, list[Path]] = {}
    for file in part_files(folder):
        parts.setdefault(file.name.partition(".")[0], []).append(file)
    return [parts[name] for name in sorted(parts)]


def read_part(files: Sequence[Path], columns: Sequence[str]) -> pl.DataFrame:
    """Some columns of the files of the same users."""
    return pl.read_parquet(list(files), columns=list(columns), hive_partitioning=False)


def gather_here(folder: Path, columns: Sequence[str], work: Callable[[pl.DataFrame], pl.DataFrame]) -> pl.DataFrame:
    """Bring together what is made of each part on this machine, on all cores; see `Log.gather`."""
    return pl.concat(each(parts_of_users(folder), lambda files: work(read_part(files, columns))))


def part_files(folder: Path) -> list[Path]:
    """The files of a written folder, whichever program wrote it."""
    return sorted(file for file in folder.rglob("*.parquet") if file.is_file())
