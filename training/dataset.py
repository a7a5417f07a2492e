"""The data set of an outcome: its population at past cutoffs, labelled, with features as of each cutoff."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl

from features.definition.outcome import Outcome, ValueOutcome
from features.definition.schema import Definition
from features.errors import RefusalError
from features.store import OfflineFeatures
from training.labels import labelled
from training.split import NAMES, Split, slices, split


@dataclass(frozen=True, slots=True)
class Dataset:
    """Labelled feature rows of an outcome.

    Attributes:
        outcome: the question.
        rows: ``user, cutoff, weight, slice, unseen, label`` and the feature set, sorted by cutoff and user.
        previewed: per cutoff: eligible users, positives, base rate.
    """

    outcome: str
    rows: pl.DataFrame
    previewed: pl.DataFrame

    def part(self, name: str) -> pl.DataFrame:
        """Rows of a slice; users held out as unseen appear in the test only."""
        rows = self.rows.filter(pl.col("slice") == name)
        return rows if name == "test" else rows.filter(~pl.col("unseen"))

    @property
    def yes_or_no(self) -> "Dataset":
        """The same with amounts as yes or no: any, or where all have some, more than the middle one."""
        label = self.rows["label"]
        if label.dtype.is_integer():
            return self
        middle = 0.0 if label.min() == 0 else label.median()
        return replace(self, rows=self.rows.with_columns((label > middle).cast(pl.Int8)))

    def summary(self) -> dict[str, dict[str, int | str]]:
        """Rows, positives, users and cutoffs of each slice."""
        answer: dict[str, dict[str, int | str]] = {}
        for name in NAMES:
            part = self.part(name)
            answer[name] = {
                "rows": len(part),
                "positives": int((part["label"] > 0).sum()),
                "users": part["user"].n_unique(),
                "first_cutoff": str(part["cutoff"].min()),
                "last_cutoff": str(part["cutoff"].max()),
            }
        return answer


def build(
    snapshots: Path, store: OfflineFeatures, definition: Definition, outcome: str, *, parts: Split | None = None
) -> Dataset:
    """Build the data set: population and labels out of the snapshots, slices, features through the feature store.

    Args:
        snapshots: folder of the snapshot files.
        store: the feature store.
        definition: the definition.
        outcome: which question.
        parts: which cutoffs are for what; split by the usual shares when left out.

    Raises:
        RefusalError: ``population_empty``, ``outcome_never_happens``, ``outcome_always_happens``, ``log_too_short``,
            ``too_few_positives`` or ``too_few_negatives``.
    """
    rule, limits = definition.asked[outcome], definition.training
    rows = labelled(snapshots, outcome)
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
    parts = parts or split(instants, rule.reach, outcome=outcome)
    rows = slices(rows, parts, limits.unseen_share).drop_nulls("slice")
    _enough(rows, outcome, limits.min_positives, isinstance(rule, Outcome))
    rows = _capped(_spread(rows, limits.max_rows_per_user, limits.seed), limits.max_rows, limits.seed)
    return Dataset(outcome, store.rows(outcome, rows), previewed.sort("cutoff"))


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


def _enough(rows: pl.DataFrame, outcome: str, needed: int, of_both: bool) -> None:
    happened = pl.col("label") > 0
    counted = (
        rows.filter(~pl.col("unseen") | (pl.col("slice") == "test"))
        .group_by("slice")
        .agg(happened.sum().alias("positives"), (~happened).sum().alias("negatives"))
    )
    # a slice other than the fitting one judges or adjusts few numbers, so a quarter is enough there
    for kind in ("positives", "negatives") if of_both else ("positives",):
        for name, found in counted.select("slice", kind).iter_rows():
            limit = needed if name == "fit" else max(10, needed // 4)
            if found < limit:
                raise RefusalError(
                    f"too_few_{kind}",
                    found=f"{found} {kind} of {outcome} in the {name} slice",
                    needed=f"{limit}",
                    fix="widen 'among', lengthen 'within' or bring a longer log; the limit is training.min_positives",
                )


def _spread(rows: pl.DataFrame, most: int | None, seed: int) -> pl.DataFrame:
    """Keep at most ``most`` rows of each user in the fitting slice; each counts for as many as it stands for."""
    if most is None:
        return rows
    drawn = pl.Series("drawn", np.random.default_rng([seed, 1]).permutation(len(rows)))
    place, size = (e.over("slice", "user") for e in (pl.col("drawn").rank("ordinal"), pl.len()))
    fitting = pl.col("slice") == "fit"
    share = pl.when(fitting).then(pl.max_horizontal(pl.lit(1.0), size / most)).otherwise(1.0)
    kept = rows.with_columns(drawn).with_columns(place.alias("place"), (pl.col("weight") * share).alias("weight"))
    return kept.filter(~fitting | (pl.col("place") <= most)).drop("drawn", "place")


def _capped(rows: pl.DataFrame, most: int, seed: int) -> pl.DataFrame:
    """Keep at most ``most`` rows of each slice, drawn evenly: base rates stay what they are."""
    drawn = pl.Series("drawn", np.random.default_rng(seed).permutation(len(rows)))
    return rows.with_columns(drawn).filter(pl.col("drawn").rank("ordinal").over("slice") <= most).drop("drawn")
