"""What is read of a log, one run of users after the other, as one table."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import polars as pl

from features.definition.columns import feature_set
from features.definition.schema import Definition
from features.events.events import Events
from features.events.log import Log
from features.events.write import part_files
from features.profile.fold import feature_rows, read_each_at
from features.rows import INSTANT
from features.system.progress import Progress, ignore


@contextmanager
def collected(
    log: Log,
    read: Callable[[Events], Iterator[pl.DataFrame]],
    schema: pl.Schema,
    folder: Path,
    *,
    progress: Progress = ignore,
) -> Iterator[pl.LazyFrame]:
    """Read a log in one pass; what was read lies in files beside a folder until the end of the block.

    Args:
        log: the log.
        read: yields the rows of a run of users.
        schema: of the rows.
        folder: its name with ``.new`` is where they lie.
        progress: called for each run of users that is done.
    """
    fresh = folder.with_name(folder.name + ".new")
    log.write(read, schema, fresh, progress=progress)
    files = part_files(fresh)
    try:
        yield pl.scan_parquet(files) if files else schema.to_frame().lazy()
    finally:
        shutil.rmtree(fresh)


def features_at(
    log: Log, definition: Definition, asked: pl.DataFrame, folder: Path, *, progress: Progress = ignore
) -> pl.DataFrame:
    """Feature rows of users, each at instants of their own.

    Args:
        log: the log.
        definition: its features.
        asked: ``user`` and ``at``.
        folder: rows are written beside it meanwhile.
        progress: called for each run of users that is done.

    Returns:
        ``user``, ``at`` and the numeric features; no row where nothing was known of a user by then.
    """
    wanted = asked.select("user", cutoff="at")

    def read(events: Events) -> Iterator[pl.DataFrame]:
        chosen = np.flatnonzero(events.users.is_in(wanted["user"].implode()).to_numpy())
        if chosen.size:
            drawn = events.take(chosen)
            yield from feature_rows(drawn, read_each_at(drawn, wanted), definition)

    with collected(log, read, schema_of(definition), folder, progress=progress) as rows:
        return rows.with_columns(at=pl.col("cutoff").dt.epoch("us")).drop("cutoff").collect()


def schema_of(definition: Definition) -> pl.Schema:
    """The columns of feature rows: ``user``, ``cutoff`` and the numeric features."""
    numeric = dict.fromkeys(feature_set(definition).numeric, pl.Float64())
    return pl.Schema({"user": pl.String(), "cutoff": INSTANT, **numeric})
