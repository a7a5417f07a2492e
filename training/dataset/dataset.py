"""The data set of an outcome: its population at past cutoffs, labelled, with features as of each cutoff."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import polars as pl

from features.definition.schema import Definition
from features.definition.sections.outcome import Outcome, ValueOutcome
from features.errors import RefusalError
from features.events.write import Gather, gather_here
from features.feature_store import OfflineFeatures
from training.dataset.labelled_rows import LabelledRows
from training.dataset.split import Split, by_users, least_of, split


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
        counted = self.rows.select("user", "cutoff", "label")  # a slice of all columns is a copy of them
        parts = {name: counted.filter(self.inside(name)) for name in ("learn", "test")} | {"all": counted}
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
    gather: Gather = gather_here,
    parts: Split | None = None,
    through: int | None = None,
) -> Dataset:
    """Build the data set: population and labels out of the snapshots, slices, features through the feature store.

    Args:
        snapshots: folder of the snapshot files.
        store: the feature store.
        definition: the definition.
        outcome: which question.
        gather: works on the snapshots where they were written, see `Log.gather`; on this machine when left out.
        parts: which cutoffs are for what; split by the usual shares when left out.
        through: the newest cutoff that is known, as if the log had ended when its labels were.

    Raises:
        RefusalError: ``population_empty``, ``outcome_never_happens``, ``outcome_always_happens``, ``too_few_positives``
            or ``too_few_negatives``.
    """
    rule, limits = definition.outcomes[outcome], definition.training
    rows = LabelledRows(snapshots, outcome, limits, gather, through)
    counted = rows.by_cutoff()
    if counted.is_empty():
        raise RefusalError(
            "population_empty",
            found=f"nobody for whom {rule.among}",
            needed="users in the population at a matured cutoff",
            fix=f"widen outcomes.{outcome}.among",
        )
    _both_answers(int(counted["happened"].sum()), int(counted["rows"].sum()), outcome, rule)
    eligible, positives = ((pl.col("weight") * pl.col(name)).sum() for name in ("rows", "total"))
    previewed = counted.group_by("cutoff").agg(
        eligible.alias("eligible"), positives.alias("positives"), (positives / eligible).alias("base_rate"),
        pl.col("rows").sum(),
    )  # fmt: skip
    instants = counted["cutoff"].unique().sort().dt.epoch("us").to_numpy()
    parts, both = parts or split(instants, rule.reach), isinstance(rule, Outcome)
    sizes = rows.by_slice(parts)
    lacking = _lacking(sizes, limits.min_positives, both)
    if parts.by == "time" and lacking is not None:
        shared = by_users(instants)  # a small log has more of both answers in other users at all cutoffs
        others = rows.by_slice(shared)
        if _lacking(others, limits.min_positives, both) is None:
            sizes, parts, lacking = others, shared, None
    if lacking is not None:
        raise _too_few(*lacking, outcome)
    drawn = rows.drawn(parts, dict(sizes.select("slice", "spread").iter_rows()))
    return Dataset(outcome, store.rows(outcome, drawn), previewed.sort("cutoff"), parts.by)


def _both_answers(happened: int, rows: int, outcome: str, rule: Outcome | ValueOutcome) -> None:
    if 0 < happened < rows or (happened and isinstance(rule, ValueOutcome)):
        return
    never = happened == 0
    longer = isinstance(rule, ValueOutcome) or never == (rule.will is not None)
    raise RefusalError(
        "outcome_never_happens" if never else "outcome_always_happens",
        found=f"{happened:,} of {rows:,} rows with yes to: {rule.question}",
        needed="both answers among the population",
        fix=f"look at signals.{rule.signal}.where with propensity check; widen outcomes.{outcome}.among, or change "
        f"'within' ({'longer' if longer else 'shorter'})",
    )


def _lacking(sizes: pl.DataFrame, needed: int, of_both: bool) -> tuple[str, str, int, int] | None:
    """Which answer a slice has too few of, which slice, how many, and how many it needs; None where all have enough."""
    for kind in ("positives", "negatives") if of_both else ("positives",):
        for name, limit in least_of(needed).items():
            found = int(sizes.filter(slice=name)[kind].sum())
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
