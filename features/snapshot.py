"""Snapshots: feature rows of a population at its cutoffs, as Parquet for the feature store."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import polars as pl

from features.definition.columns import feature_set
from features.definition.narrowed import narrowed
from features.definition.schema import Definition
from features.errors import StoreError
from features.events.compacted import NONE, Compacted
from features.events.draws import draw
from features.events.events import Events
from features.events.log import Log
from features.events.write import part_files
from features.expressions.program import Program, columns_of
from features.profile.fold import feature_rows, read_all_at
from features.rows import INSTANT
from features.system.progress import Progress, ignore
from features.time import Instants
from features.traits import read_traits, with_traits

#: what each row counts as, for training; not a feature
WEIGHT = "weight"


class More(Protocol):
    """Columns that are added to snapshot rows.

    Attributes:
        schema: what they are.
    """

    schema: pl.Schema

    def add(self, events: Events, rows: pl.DataFrame) -> pl.DataFrame:
        """Add them to some users' rows."""
        ...


def of_populations(definition: Definition) -> Definition:
    """The definition with no more columns than its populations ask about, to count them."""
    return narrowed(definition, _population(definition).columns)


def _population(definition: Definition) -> Program:
    """Who is asked about, by outcome."""
    return Program({name: rule.among for name, rule in definition.outcomes.items()})


class Snapshots:
    """The rows of every outcome's population at given cutoffs, drawn as the definition says.

    Args:
        definition: the definition.
        cutoffs: ascending instants.
        shares: of each cutoff's population, how much is kept; all of it when left out.
    """

    def __init__(self, definition: Definition, cutoffs: Instants, shares: dict[int, float] | None = None) -> None:
        self._definition = definition
        self._cutoffs = cutoffs
        self._population = _population(definition)
        self._shares = shares or dict.fromkeys(cutoffs.tolist(), 1.0)

    def traits(self, live: Compacted = NONE) -> pl.DataFrame | None:
        """The attributes of users; None where no population asks about them.

        Args:
            live: what of the log came by the live path.
        """
        rules = self._definition.traits
        asked = rules is not None and self._population.columns & set(rules.fields)
        return read_traits(self._definition, live) if asked else None

    def eligible(self, events: Events, traits: pl.DataFrame | None) -> Iterator[pl.DataFrame]:
        """Yield all rows of the populations: ``user, cutoff``, the numeric features, traits if a population asks."""
        for frame in feature_rows(events, read_all_at(events, self._cutoffs), self._definition):
            rows = with_traits(frame, traits)
            among = self._population.truths(columns_of(rows, self._population.columns), len(rows))
            yield rows.filter(pl.Series(among.any(axis=0)))

    def of(self, events: Events, traits: pl.DataFrame | None) -> Iterator[pl.DataFrame]:
        """Yield the rows that are kept, with ``weight``: how many rows of its cutoff each stands for."""
        shares = pl.Series(list(self._shares.values()))
        for frame in self.eligible(events, traits):
            at = frame["cutoff"].dt.epoch("us")
            share = at.replace_strict(list(self._shares), shares, return_dtype=pl.Float64)
            if shares.min() != 1.0:
                drawn = pl.Series(draw(frame["user"], at.to_numpy())) < share
                frame, share = frame.filter(drawn), share.filter(drawn)
            yield frame.insert_column(2, (1.0 / share).alias(WEIGHT))


def shares_of(log: Log, cutoffs: Instants, definition: Definition, scratch: Path) -> dict[int, float]:
    """Each cutoff's share: ``keep``, or what ``min_rows`` rows are of its population, if that is more."""
    rules = definition.snapshots
    if rules.keep == 1.0:
        return dict.fromkeys(cutoffs.tolist(), 1.0)
    snapshots = Snapshots(of_populations(definition), cutoffs)

    def count(events: Events, traits: pl.DataFrame | None) -> Iterator[pl.DataFrame]:
        for frame in snapshots.eligible(events, traits):
            yield frame.group_by("cutoff").len("rows").select("cutoff", pl.col("rows").cast(pl.Int64))

    schema = pl.Schema({"cutoff": INSTANT, "rows": pl.Int64()})
    log.write_joined(snapshots.traits(log.live), count, schema, scratch)
    sizes = pl.scan_parquet(part_files(scratch)).group_by(pl.col("cutoff").dt.epoch("us")).agg(pl.col("rows").sum())
    found = dict.fromkeys(cutoffs.tolist(), 0) | dict(sizes.collect().iter_rows())
    shutil.rmtree(scratch)
    return {c: max(rules.keep, min(1.0, rules.min_rows / n)) if n else 1.0 for c, n in found.items()}


def write_snapshots(
    log: Log,
    cutoffs: Instants,
    definition: Definition,
    folder: Path,
    *,
    progress: Progress = ignore,
    more: More | None = None,
) -> int:
    """Write feature rows of every outcome's population at the cutoffs.

    Args:
        log: the log.
        cutoffs: ascending instants.
        definition: the definition.
        folder: replaced when all rows are written, so that a run killed half-way leaves the last complete snapshots.
        progress: gets each run of users that is done.
        more: columns to add while the events are at hand, such as labels.

    Returns:
        The number of rows. Files ``date=<cutoff's date>/….parquet`` hold ``user``, ``cutoff`` (UTC, microseconds),
        ``weight``, the numeric feature set and what ``more`` added.

    Raises:
        StoreError: no user belongs to any population at any cutoff.
    """
    shares = shares_of(log, cutoffs, definition, folder.with_name(folder.name + ".counts"))
    snapshots = Snapshots(definition, cutoffs, shares)
    numbers = dict.fromkeys(feature_set(definition).numeric, pl.Float64())
    schema = pl.Schema(
        {"user": pl.String(), "cutoff": INSTANT, WEIGHT: pl.Float64(), **numbers, **(more.schema if more else {})}
    )
    date = pl.col("cutoff").dt.to_string("%Y-%m-%d").alias("date")

    def rows(events: Events, traits: pl.DataFrame | None) -> Iterator[pl.DataFrame]:
        for frame in snapshots.of(events, traits):
            extended = frame if more is None else more.add(events, frame)
            yield extended.select(*schema.names(), date)

    dated = pl.Schema({**schema, "date": pl.String()})
    written = log.write_joined(snapshots.traits(log.live), rows, dated, folder, by="date", progress=progress)
    if written == 0:
        raise StoreError("no user belongs to any outcome's population.", fix="widen 'among' in the outcomes")
    return written
