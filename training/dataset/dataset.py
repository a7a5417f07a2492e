"""The data set of an outcome: its population at past cutoffs, labelled, with features as of each cutoff."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl

from features.definition.schema import Definition
from features.definition.sections.outcome import Outcome, ValueOutcome
from features.errors import RefusalError
from features.feature_store import OfflineFeatures
from features.time import to_datetime
from training.dataset.attach_labels import labelled
from training.dataset.split import Split, by_users, least_of, slices, split


@dataclass(frozen=True, slots=True)
class Dataset:
    """Labelled feature rows of an outcome.

    Attributes:
        outcome: the question.
        rows: ``user, cutoff, weight, slice, unseen, label`` and the feature set, sorted by cutoff and user: all that
            is known.
        previewed: per cutoff: eligible users, positives, base rate.
        by: whether ``learn`` and ``test`` lie apart in ``time``, or hold other ``users`` at the same times.
    """

    outcome: str
    rows: pl.DataFrame
    previewed: pl.DataFrame
    by: Literal["time", "users"] = "time"

    def inside(self, name: str) -> pl.Series:
        """Which rows a slice holds; users held out as unseen appear in the test only."""
        rows = self.rows.select(
            (pl.col("slice") == name) if name == "test" else (pl.col("slice") == name) & ~pl.col("unseen")
        )
        return rows.to_series()

    def part(self, name: str) -> pl.DataFrame:
        """Rows of a slice."""
        return self.rows.filter(self.inside(name))

    @property
    def yes_or_no(self) -> "Dataset":
        """The same with amounts as yes or no: any, or where all have some, more than the middle one."""
        label = self.rows["label"]
        if label.dtype.is_integer():
            return self
        middle = 0.0 if label.min() == 0 else label.median()
        return replace(self, rows=self.rows.with_columns((label > middle).cast(pl.Int8)))

    def summary(self) -> dict[str, dict[str, int | str]]:
        """Rows, positives, users and cutoffs of what is learnt from, of what judges, and of all that is known."""
        parts = {"learn": self.part("learn"), "test": self.part("test"), "all": self.rows}
        return {
            name: {
                "rows": len(part),
                "positives": int((part["label"] > 0).sum()),
                "users": part["user"].n_unique(),
                "first_cutoff": str(part["cutoff"].min()),
                "last_cutoff": str(part["cutoff"].max()),
            }
            for name, part in parts.items()
        }


def build(
    snapshots: Path,
    store: OfflineFeatures,
    definition: Definition,
    outcome: str,
    *,
    parts: Split | None = None,
    through: int | None = None,
) -> Dataset:
    """Build the data set: population and labels out of the snapshots, slices, features through the feature store.

    Args:
        snapshots: folder of the snapshot files.
        store: the feature store.
        definition: the definition.
        outcome: which question.
        parts: which cutoffs are for what; split by the usual shares when left out.
        through: the newest cutoff that is known, as if the log had ended when its labels were.

    Raises:
        RefusalError: ``population_empty``, ``outcome_never_happens``, ``outcome_always_happens``, ``too_few_positives``
            or ``too_few_negatives``.
    """
    rule, limits = definition.outcomes[outcome], definition.training
    rows = labelled(snapshots, outcome)
    if through is not None:
        rows = rows.filter(pl.col("cutoff") <= to_datetime(through))
    if rows.is_empty():
        raise RefusalError(
            "population_empty",
            found=f"nobody for whom {rule.among}",
            needed="users in the population at a matured cutoff",
            fix=f"widen outcomes.{outcome}.among",
        )
    _both_answers(rows["label"], outcome, rule)
    weight, positive = pl.col("weight"), pl.col("weight") * pl.col("label")
    previewed = rows.group_by("cutoff").agg(
        weight.sum().alias("eligible"), positive.sum().alias("positives"),
        (positive.sum() / weight.sum()).alias("base_rate"), pl.len().alias("rows"),
    )  # fmt: skip
    instants = rows["cutoff"].unique().sort().dt.epoch("us").to_numpy()
    parts = parts or split(instants, rule.reach)
    placed, both = slices(rows, parts, limits.unseen_share), isinstance(rule, Outcome)
    if parts.by == "time" and _lacking(placed, limits.min_positives, both) is not None:
        shared = by_users(instants)  # a small log has more of both answers in other users at all cutoffs
        others = slices(rows, shared, limits.unseen_share)
        if _lacking(others, limits.min_positives, both) is None:
            placed, parts = others, shared
    if (lacking := _lacking(placed, limits.min_positives, both)) is not None:
        raise _too_few(*lacking, outcome)
    rows = placed
    rows = _capped(_spread(rows, limits.max_rows_per_user, limits.seed), limits.max_rows, limits.seed)
    return Dataset(outcome, store.rows(outcome, rows), previewed.sort("cutoff"), parts.by)


def _both_answers(labels: pl.Series, outcome: str, rule: Outcome | ValueOutcome) -> None:
    happened = int((labels > 0).sum())
    if 0 < happened < len(labels) or (happened and isinstance(rule, ValueOutcome)):
        return
    never = happened == 0
    longer = isinstance(rule, ValueOutcome) or never == (rule.will is not None)
    raise RefusalError(
        "outcome_never_happens" if never else "outcome_always_happens",
        found=f"{happened:,} of {len(labels):,} rows with yes to: {rule.question}",
        needed="both answers among the population",
        fix=f"look at signals.{rule.signal}.where with propensity check; widen outcomes.{outcome}.among, or change "
        f"'within' ({'longer' if longer else 'shorter'})",
    )


def _lacking(rows: pl.DataFrame, needed: int, of_both: bool) -> tuple[str, str, int, int] | None:
    """Which answer a slice has too few of, which slice, how many, and how many it needs; None where all have enough."""
    happened = pl.col("label") > 0
    counted = (
        rows.filter(~pl.col("unseen") | (pl.col("slice") == "test"))
        .group_by("slice")
        .agg(happened.sum().alias("positives"), (~happened).sum().alias("negatives"))
    )
    for kind in ("positives", "negatives") if of_both else ("positives",):
        for name, limit in least_of(needed).items():
            found = int(counted.filter(slice=name)[kind].sum())
            if found < limit:
                return kind, name, found, limit
    return None


def _too_few(kind: str, name: str, found: int, limit: int, outcome: str) -> RefusalError:
    return RefusalError(
        f"too_few_{kind}",
        found=f"{found} {kind} of {outcome} in the {name} slice",
        needed=f"{limit}",
        fix="widen 'among', lengthen 'within' or bring a longer log; the limit is training.min_positives",
    )


def _spread(rows: pl.DataFrame, most: int | None, seed: int) -> pl.DataFrame:
    """Keep at most ``most`` rows of each user outside the test; each counts for as many as it stands for."""
    if most is None:
        return rows
    drawn = pl.Series("drawn", np.random.default_rng([seed, 1]).permutation(len(rows)))
    place, size = (e.over("slice", "user") for e in (pl.col("drawn").rank("ordinal"), pl.len()))
    learnt = pl.col("slice") != "test"
    share = pl.when(learnt).then(pl.max_horizontal(pl.lit(1.0), size / most)).otherwise(1.0)
    kept = rows.with_columns(drawn).with_columns(place.alias("place"), (pl.col("weight") * share).alias("weight"))
    return kept.filter(~learnt | (pl.col("place") <= most)).drop("drawn", "place")


def _capped(rows: pl.DataFrame, most: int, seed: int) -> pl.DataFrame:
    """Keep at most ``most`` rows, drawn evenly within each slice, and of the test at least a quarter of them.

    Each row counts for as many as it stands for, so that slices keep their shares of the whole.
    """
    if len(rows) <= most:
        return rows
    testing = int((rows["slice"] == "test").sum())
    tested = min(testing, max(most // 4, round(most * testing / len(rows))))
    share = {True: tested / max(testing, 1), False: min(1.0, (most - tested) / max(len(rows) - testing, 1))}
    drawn = pl.Series("drawn", np.random.default_rng(seed).permutation(len(rows)))
    test = pl.col("slice") == "test"
    place, size = (e.over("slice") for e in (pl.col("drawn").rank("ordinal"), pl.len()))
    kept = (size * pl.when(test).then(share[True]).otherwise(share[False])).floor().clip(1).cast(pl.Int64)
    counted = rows.with_columns(drawn).with_columns(
        place.alias("place"), kept.alias("kept"), (pl.col("weight") * size / kept).alias("weight")
    )
    return counted.filter(pl.col("place") <= pl.col("kept")).drop("drawn", "place", "kept")
