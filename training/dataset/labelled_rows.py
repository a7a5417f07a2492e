"""The labelled rows of an outcome: counted, and a sample of them drawn, part by part where the snapshots are.

Which rows are drawn depends on each row's user and cutoff alone, so that one machine and many draw the same ones, and
only they travel.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from math import sqrt
from pathlib import Path

import polars as pl

from features.definition.sections.learning import Training
from features.events.draws import redrawn
from features.events.write import Gather
from features.snapshot import WEIGHT
from features.time import to_datetime
from training.dataset.split import Split, slices

#: which numbers of a row decide whether it is drawn for all, and which of its user's rows are
_FOR_ALL, _OF_USER = 0, 1


@dataclass(frozen=True)
class LabelledRows:
    """The rows of an outcome whose label is known.

    Attributes:
        snapshots: the folder of the snapshot files.
        outcome: the question.
        limits: how many rows are drawn.
        gather: works on the parts of the snapshots, see `Log.gather`.
        through: the newest cutoff that is known; None for all.
    """

    snapshots: Path
    outcome: str
    limits: Training
    gather: Gather
    through: int | None = None

    def by_cutoff(self) -> pl.DataFrame:
        """Rows and answers of each cutoff: ``cutoff, weight, rows, happened, total``; ``total`` adds up the labels."""
        found = self._gather(_counted)
        both = pl.col("rows").sum(), pl.col("happened").sum(), pl.col("total").sum()
        return found.group_by("cutoff", WEIGHT).agg(both).sort("cutoff", WEIGHT)

    def by_slice(self, parts: Split) -> pl.DataFrame:
        """Rows of each slice: ``slice, positives, negatives, spread``.

        Answers count without those of users whom only the test may hold; ``spread`` are the rows that are left where
        ``max_rows_per_user`` bounds them.
        """
        found = self._gather(partial(_of_slices, parts=parts, limits=self.limits))
        return found.group_by("slice").agg(pl.all().sum()).sort("slice")

    def drawn(self, parts: Split, sizes: Mapping[str, int]) -> pl.DataFrame:
        """At most ``max_rows`` rows: ``user, cutoff, weight, label, slice, unseen``, sorted by cutoff and user.

        Each row counts for as many as it stands for, so that slices keep their shares of the whole.

        Args:
            parts: the slices.
            sizes: ``spread`` of each slice.
        """
        kept = kept_rows(sizes, self.limits.max_rows)
        margin = 6.0
        while True:
            bounds = {name: _bound(count, sizes[name], margin) for name, count in kept.items()}
            found = self._gather(partial(_below, parts=parts, limits=self.limits, bounds=bounds))
            found = found.sort("drawn", "cutoff", "user")
            place = pl.int_range(pl.len()).over("slice") + 1
            count, size = (pl.col("slice").replace_strict(dict(each), return_dtype=pl.Int64) for each in (kept, sizes))
            rows = found.filter(place <= count)
            if len(rows) == sum(kept.values()):
                weight = pl.when(size > count).then(pl.col(WEIGHT) * size / count).otherwise(pl.col(WEIGHT))
                return rows.with_columns(weight.alias(WEIGHT)).drop("drawn").sort("cutoff", "user")
            margin *= 4  # fewer than expected lie below a bound, once in a thousand million times

    def _gather(self, work: Callable[[pl.DataFrame], pl.DataFrame]) -> pl.DataFrame:
        label = f"label_{self.outcome}"
        known = partial(_known, label=label, through=self.through, work=work)
        return self.gather(self.snapshots, ("user", "cutoff", WEIGHT, label), known)


def kept_rows(sizes: Mapping[str, int], most: int) -> dict[str, int]:
    """How many rows of each slice are kept: evenly, and of the test at least a quarter of ``most``."""
    total, testing = sum(sizes.values()), sizes.get("test", 0)
    if total <= most:
        return dict(sizes)
    tested = min(testing, max(most // 4, round(most * testing / total)))
    share = {True: tested / max(testing, 1), False: min(1.0, (most - tested) / max(total - testing, 1))}
    return {name: min(size, max(1, int(size * share[name == "test"]))) for name, size in sizes.items()}


def _bound(count: int, size: int, margin: float) -> float:
    """A number that so many of a slice's numbers lie below, but for chance."""
    return 1.0 if count == size else min(1.0, (count + margin * sqrt(count) + margin) / size)


def _known(
    rows: pl.DataFrame, *, label: str, through: int | None, work: Callable[[pl.DataFrame], pl.DataFrame]
) -> pl.DataFrame:
    """Work on the rows whose label is known."""
    known = pl.col(label).is_not_null()
    if through is not None:
        known &= pl.col("cutoff") <= to_datetime(through)
    return work(rows.filter(known).rename({label: "label"}))


def _counted(rows: pl.DataFrame) -> pl.DataFrame:
    label = pl.col("label")
    return rows.group_by("cutoff", WEIGHT).agg(
        pl.len().cast(pl.Int64).alias("rows"),
        (label > 0).sum().cast(pl.Int64).alias("happened"),
        label.cast(pl.Float64).sum().alias("total"),
    )


def _of_slices(rows: pl.DataFrame, *, parts: Split, limits: Training) -> pl.DataFrame:
    placed = slices(rows, parts, limits.unseen_share)
    happened, counts = pl.col("label") > 0, ~pl.col("unseen") | (pl.col("slice") == "test")
    answers = placed.group_by("slice").agg(
        (happened & counts).sum().cast(pl.Int64).alias("positives"),
        (~happened & counts).sum().cast(pl.Int64).alias("negatives"),
    )
    left = _spread(placed, limits).group_by("slice").agg(pl.len().cast(pl.Int64).alias("spread"))
    return answers.join(left, on="slice")


def _below(rows: pl.DataFrame, *, parts: Split, limits: Training, bounds: Mapping[str, float]) -> pl.DataFrame:
    """The rows whose number lies below their slice's bound, with it as ``drawn``."""
    placed = _spread(slices(rows, parts, limits.unseen_share), limits)
    bound = pl.col("slice").replace_strict(dict(bounds), return_dtype=pl.Float64)
    drawn = _numbers(placed, limits.seed, _FOR_ALL)
    found = placed.with_columns(drawn).filter(pl.col("drawn") < bound)
    return found.select("user", "cutoff", WEIGHT, "label", "slice", "unseen", "drawn")


def _spread(rows: pl.DataFrame, limits: Training) -> pl.DataFrame:
    """Keep at most ``max_rows_per_user`` rows of each user outside the test; each counts for as many as it stands for.

    A part holds all rows of its users.
    """
    most = limits.max_rows_per_user
    if most is None:
        return rows
    place, size = (e.over("slice", "user") for e in (pl.col("drawn").rank("ordinal"), pl.len()))
    learnt = pl.col("slice") != "test"
    share = pl.when(learnt).then(pl.max_horizontal(pl.lit(1.0), size / most)).otherwise(1.0)
    drawn = _numbers(rows, limits.seed, _OF_USER)
    kept = rows.with_columns(drawn).with_columns(place.alias("place"), (pl.col(WEIGHT) * share).alias(WEIGHT))
    return kept.filter(~learnt | (pl.col("place") <= most)).drop("drawn", "place")


def _numbers(rows: pl.DataFrame, seed: int, purpose: int) -> pl.Series:
    return pl.Series("drawn", redrawn(rows["user"], rows["cutoff"].dt.epoch("us").to_numpy(), 2 * seed + purpose))
