"""Snapshots: feature rows of a population at its cutoffs, as Parquet for the feature store."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from features.definition.schema import Definition
from features.errors import StoreError
from features.fold import feature_rows, read_all_at
from features.log.events import Events, Log
from features.log.order import hash_numbers
from features.log.source import hashed, read_traits
from features.progress import Progress, ignore
from features.rows import expression
from features.time import Instants

#: what each row counts as, for training; not a feature
WEIGHT = "weight"

Beside = Callable[[Events, pl.DataFrame, str], None]


def population(definition: Definition) -> pl.Expr:
    """Rows that belong to the population of at least one outcome."""
    return pl.any_horizontal([expression(o.among).fill_null(False) for o in definition.outcomes.values()])


def with_traits(rows: pl.DataFrame, traits: pl.DataFrame | None) -> pl.DataFrame:
    """Add each user's attributes as known at the cutoff; an attribute that became known after it is not seen."""
    if traits is None:
        return rows
    known = traits.sort("known")
    joined = rows.with_row_index("row").sort("cutoff").join_asof(
        known, left_on="cutoff", right_on="known", by="user", strategy="backward", check_sortedness=False
    )  # fmt: skip
    return joined.sort("row").drop("row", "known")


class Snapshots:
    """The rows of every outcome's population at given cutoffs, drawn as the definition says.

    Args:
        definition: the definition.
        cutoffs: ascending instants.
    """

    def __init__(self, definition: Definition, cutoffs: Instants) -> None:
        self._definition = definition
        self._cutoffs = cutoffs
        self._population = population(definition)
        asked = set(self._population.meta.root_names())
        needed = definition.traits is not None and asked & set(definition.traits.fields)
        self._traits = read_traits(definition) if needed else None
        self._shares: dict[int, float] = dict.fromkeys(cutoffs.tolist(), 1.0)

    def draw(self, log: Log) -> None:
        """Set each cutoff's share: ``keep``, or what ``min_rows`` rows are of its population, if that is more."""
        rules, found = self._definition.snapshots, dict.fromkeys(self._cutoffs.tolist(), 0)

        def count(events: Events) -> list[tuple[int, int]]:
            sizes = pl.concat(frame.select("cutoff") for frame in self._eligible(events)).group_by("cutoff").len()
            return sizes.with_columns(pl.col("cutoff").dt.epoch("us")).rows()

        for sizes in log.map(count):
            for cutoff, size in sizes:
                found[cutoff] += size
        self._shares = {c: max(rules.keep, min(1.0, rules.min_rows / n)) if n else 1.0 for c, n in found.items()}

    def _eligible(self, events: Events) -> Iterator[pl.DataFrame]:
        for frame in feature_rows(events, read_all_at(events, self._cutoffs), self._definition):
            yield with_traits(frame, self._traits).filter(self._population)

    def of(self, events: Events) -> Iterator[pl.DataFrame]:
        """Yield some users' rows: ``user, cutoff, weight``, the numeric features, and traits a population asks for."""
        shares = pl.Series(list(self._shares.values()))
        for frame in self._eligible(events):
            at = frame["cutoff"].dt.epoch("us")
            share = at.replace_strict(list(self._shares), shares, return_dtype=pl.Float64)
            if shares.min() != 1.0:
                drawn = pl.Series(draw(frame["user"], at.to_numpy())) < share
                frame, share = frame.filter(drawn), share.filter(drawn)
            yield frame.insert_column(2, (1.0 / share).alias(WEIGHT))


def draw(users: pl.Series, cutoffs: Instants) -> NDArray[np.float64]:
    """A number in [0, 1) for each user and cutoff that is the same on every machine."""
    keys = hashed(pa.chunked_array([users.to_arrow()]))
    return np.asarray(hash_numbers(keys, cutoffs) / 2.0**63)


def write_snapshots(
    log: Log,
    cutoffs: Instants,
    definition: Definition,
    folder: Path,
    *,
    progress: Progress = ignore,
    beside: Beside | None = None,
) -> int:
    """Write feature rows of every outcome's population at the cutoffs.

    Args:
        log: the log.
        cutoffs: ascending instants.
        definition: the definition.
        folder: replaced when all rows are written, so that a run killed half-way leaves the last complete snapshots.
        progress: told of each run of users that is done.
        beside: called with some users' events, their rows, and a name for what it writes of them.

    Returns:
        The number of rows. Files ``date=<cutoff's date>/part-….parquet`` hold ``user``, ``cutoff`` (UTC, microseconds),
        ``weight`` and the numeric feature set.

    Raises:
        StoreError: no user belongs to any population at any cutoff.
    """
    fresh = folder.with_name(folder.name + ".new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    snapshots, rows = Snapshots(definition, cutoffs), 0
    if definition.snapshots.keep < 1:
        snapshots.draw(log)

    def write(events: Events) -> int:
        written = 0
        for i, frame in enumerate(snapshots.of(events)):
            if not len(frame):
                continue
            name = f"part-{hashed(pa.chunked_array([[events.users[0]]]))[0] & (2**63 - 1):016x}-{i:03d}"
            if beside is not None:
                beside(events, frame, name)
            dates = frame["cutoff"].dt.to_string("%Y-%m-%d")
            for (date,), part in frame.select(_stored(frame, definition)).group_by(dates.alias("date")):
                place = fresh / f"date={date}"
                place.mkdir(exist_ok=True)
                part.write_parquet(place / f"{name}.parquet", compression="lz4")
            written += len(frame)
        return written

    for written in log.map(write):
        rows += written
        progress(1)
    if rows == 0:
        shutil.rmtree(fresh)
        raise StoreError("no user belongs to any outcome's population.", fix="widen 'among' in the outcomes")
    replace(fresh, folder)
    return rows


def _stored(frame: pl.DataFrame, definition: Definition) -> list[str]:
    traits = definition.traits.fields if definition.traits else []
    return [name for name in frame.columns if name not in traits]


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
