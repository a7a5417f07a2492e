"""Snapshots: feature rows of a population at its cutoffs, as Parquet for the feature store."""

import shutil
from pathlib import Path

import polars as pl

from features.definition.schema import Definition
from features.errors import StoreError
from features.fold import feature_rows, read_all_at
from features.log.events import Events
from features.log.source import read_traits
from features.progress import Progress, ignore
from features.rows import expression
from features.time import Instants


def population(definition: Definition) -> pl.Expr:
    """Rows that belong to the population of at least one outcome; the traits are not needed for it.

    A population that asks for a trait cannot be decided here, so all its rows are kept.
    """
    traits = set(definition.traits.fields) if definition.traits else set()
    exprs = [expression(o.among) for o in definition.outcomes.values()]
    decided = [e.fill_null(False) if not traits & set(e.meta.root_names()) else pl.lit(True) for e in exprs]
    return pl.any_horizontal(decided)


def write_snapshots(
    events: Events, cutoffs: Instants, definition: Definition, folder: Path, *, progress: Progress = ignore
) -> int:
    """Write feature rows of every outcome's population at the cutoffs.

    Args:
        events: the log.
        cutoffs: ascending instants.
        definition: the definition.
        folder: replaced when all rows are written, so that a run killed half-way leaves the last complete snapshots.
        progress: told the number of users done.

    Returns:
        The number of rows. Files hold ``user``, ``cutoff`` (UTC, microseconds) and the numeric feature set.

    Raises:
        StoreError: no user belongs to any population at any cutoff.
    """
    fresh = folder.with_name(folder.name + ".new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    keep, rows = population(definition), 0
    for part, frame in enumerate(feature_rows(events, read_all_at(events, cutoffs), definition)):
        kept = frame.filter(keep)
        if len(kept):
            kept.write_parquet(fresh / f"part-{part:05d}.parquet", compression="lz4")
        rows += len(kept)
        progress(frame["user"].n_unique())
    if rows == 0:
        shutil.rmtree(fresh)
        raise StoreError("no user belongs to any outcome's population.", fix="widen 'among' in the outcomes")
    replace(fresh, folder)
    return rows


def replace(fresh: Path, folder: Path) -> None:
    """Put a finished folder in the place of the old one."""
    old = folder.with_name(folder.name + ".old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    fresh.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def write_traits(definition: Definition, path: Path) -> pl.DataFrame:
    """Write the trait table in the store's terms (``user``, ``known``, text fields) and return it."""
    frame = read_traits(definition)
    path.parent.mkdir(parents=True, exist_ok=True)
    frame.write_parquet(path)
    return frame
