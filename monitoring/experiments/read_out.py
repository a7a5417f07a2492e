"""Read-outs of experiments: arms are checked, then variants compared with nothing, no sooner than planned."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import polars as pl

from features.definition.schema import Definition
from features.definition.sections.experiment import NOTHING, Experiment
from features.definition.sections.outcome import Outcome
from monitoring.experiments.comparison import LABEL, PREDICTED, REACHED, Comparison, compare
from monitoring.experiments.plan import ALPHA, Look, look_of
from monitoring.statistics.effects.balance import Balance, balance
from monitoring.statistics.effects.multiple import benjamini_hochberg, holm
from monitoring.statistics.inputs import Floats
from segments.variants import Trial
from serving.activation.assignments import DELIVERED

#: of a line that is of no slice
EVERYBODY = "everybody"

#: a slice needs so many users in each arm
_SLICE = 30


@dataclass(frozen=True, slots=True)
class Row:
    """A line of a read-out.

    Attributes:
        outcome: what is compared.
        variant: beside ``nothing``.
        slice: of whom: everybody, or a third of the users by what was predicted; slices are exploratory.
        comparison: of the arms.
        waiting: users of both arms whose outcome is not known yet, or who come after the last look.
        low, high: the interval; None where there is nothing to read yet. Of the primary outcome all variants together
            are covered with 95 %, over all looks.
        p_value: corrected for the secondary outcomes (Holm), or for the slices (Benjamini and Hochberg); None of the
            primary outcome, and before the end of a plan.
        value: what a contacted user has brought, less the outcome's costs, with the interval; None where unknown.
        known_by: when the outcomes of all who were assigned are known.
    """

    outcome: str
    variant: str
    slice: str
    comparison: Comparison
    waiting: int
    low: float | None = None
    high: float | None = None
    p_value: float | None = None
    value: tuple[float, float, float] | None = None
    known_by: int | None = None

    @property
    def effect(self) -> float | None:
        """The effect where it may be read."""
        best = self.comparison.best
        return best.effect.value if best is not None and self.low is not None else None

    @property
    def shown(self) -> bool:
        """Whether an effect is shown: its interval leaves 0 out."""
        return self.low is not None and self.high is not None and not self.low <= 0 <= self.high


@dataclass(frozen=True, slots=True)
class ReadOut:
    """An experiment, read out.

    Attributes:
        trial: the experiment.
        through: the log is complete through this instant.
        assigned: users of each variant, those in several left out.
        exposures: of each variant, how many were handed off, delivered, failed, or withheld.
        both_arms: users left out, because another of their ids was in another arm.
        balance: of the arms, whether they are as planned; no effect is shown where not.
        look: where it is.
        rows: the primary outcome first.
        late: labels that would be different today, by outcome; they stay.
    """

    trial: Trial
    through: int
    assigned: Mapping[str, int]
    exposures: Mapping[str, Mapping[str, int]]
    both_arms: int
    balance: Balance
    look: Look
    rows: list[Row]
    late: Mapping[str, int] = field(default_factory=dict)

    @property
    def ended(self) -> bool:
        """Whether the last look was read."""
        return self.look.final

    def of(self, outcome: str, variant: str) -> Row:
        """The line of everybody."""
        found = (r for r in self.rows if (r.outcome, r.variant, r.slice) == (outcome, variant, EVERYBODY))
        return next(found)


def read_out(
    trial: Trial,
    assigned: pl.DataFrame,
    labels: Mapping[str, pl.DataFrame],
    definition: Definition,
    through: int,
    *,
    mixed: frozenset[str] = frozenset(),
    late: Mapping[str, int] | None = None,
    at_any_time: bool = False,
) -> ReadOut:
    """Read out an experiment.

    Args:
        trial: the experiment.
        assigned: `serving.activation.assignments.ASSIGNED`.
        labels: of each outcome ``user``, ``at`` and ``label`` of all who have matured.
        definition: its outcomes.
        through: the log is complete through this instant.
        mixed: users who were in both arms of the audience's holdout.
        late: labels that would be different today, by outcome.
        at_any_time: intervals that hold at any time, in place of the planned looks.
    """
    rule = trial.rule.model_copy(update={"users": None}) if at_any_time else trial.rule
    rows = assigned.with_columns(mixed=pl.col("mixed") | pl.col("user").is_in(list(mixed))).sort("at", "user")
    rows = rows.with_columns(
        pl.col("predicted").str.json_path_match(f"$.{name}").cast(pl.Float64).alias(f"p_{name}")
        for name in rule.outcomes
    ).with_columns(place=pl.int_range(pl.len()), reached=pl.col("exposure") == DELIVERED)
    one_arm = rows.filter(~pl.col("mixed"))
    counts = {name: int((one_arm["variant"] == name).sum()) for name in rule.variants}
    checked = balance(list(counts.values()), list(rule.variants.values()))
    ripe = int((rows["at"] + definition.outcomes[rule.primary].reach <= through).sum())
    ended = rule.ends is not None and rule.ends <= through and ripe == len(rows)
    look = look_of(rule, ripe, ended=ended)
    reader = _Reader(rule, definition, look, one_arm, labels, stop=checked.stop)
    exposures = {name: _counts(one_arm.filter(variant=name)["exposure"]) for name in rule.variants}
    return ReadOut(
        trial, through, counts, exposures, len(rows) - len(one_arm), checked, look, reader.rows(), late or {}
    )


def _counts(values: pl.Series) -> dict[str, int]:
    return dict(values.value_counts().sort(values.name).iter_rows())


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads the lines of an experiment."""

    rule: Experiment
    definition: Definition
    look: Look
    one_arm: pl.DataFrame
    labels: Mapping[str, pl.DataFrame]
    stop: bool

    def rows(self) -> list[Row]:
        variants = [name for name in self.rule.variants if name != NOTHING]
        primary = [self._primary(name) for name in variants]
        secondary = [self._row(outcome, name) for outcome in self.rule.secondary for name in variants]
        slices = [row for name in variants for row in self._slices(name)]
        return [*primary, *self._corrected(secondary, holm), *self._corrected(slices, benjamini_hochberg)]

    def _primary(self, variant: str) -> Row:
        row = self._row(self.rule.primary, variant)
        if self.stop:
            return row
        alpha = ALPHA / (len(self.rule.variants) - 1)
        one, edge = row.comparison, self.look.boundary
        found = one.at_any_time(alpha) if self.look.of is None else one.within(edge) if edge is not None else None
        return _with(row, found, value=self._value(one, found) if found is not None else None)

    def _row(self, outcome: str, variant: str, rows: pl.DataFrame | None = None, of: str = EVERYBODY) -> Row:
        mine = self.one_arm if rows is None else rows
        counted = mine.filter(pl.col("place") < self.look.users).join(self.labels[outcome], on=["user", "at"])
        counted = counted.with_columns(pl.col(f"p_{outcome}").alias(PREDICTED))
        arms = [counted.filter(variant=name).select(LABEL, PREDICTED, REACHED) for name in (variant, NOTHING)]
        both = mine.filter(pl.col("variant").is_in([variant, NOTHING]))
        newest = both["at"].max()
        known_by = newest + self.definition.outcomes[outcome].reach if isinstance(newest, int) else None
        rise = outcome == self.rule.primary and self.rule.better == "more"
        found = compare(arms[0], arms[1], self.definition.outcomes[outcome], rise=rise)
        return Row(outcome, variant, of, found, len(both) - sum(found.users), known_by=known_by)

    def _slices(self, variant: str) -> list[Row]:
        """Thirds of the users by what was predicted of the primary outcome."""
        p = self.one_arm[f"p_{self.rule.primary}"]
        cuts = [p.quantile(share) for share in (1 / 3, 2 / 3)]
        if any(cut is None for cut in cuts) or cuts[0] == cuts[1]:
            return []
        third = (p > cuts[0]).cast(pl.Int8) + (p > cuts[1]).cast(pl.Int8)
        names = ("lowest third", "middle third", "highest third")
        rows = [self._row(self.rule.primary, variant, self.one_arm.filter(third == i), name)
                for i, name in enumerate(names)]  # fmt: skip
        return [row for row in rows if min(row.comparison.users) >= _SLICE]

    def _corrected(self, rows: list[Row], rule: Callable[[list[float]], Floats]) -> list[Row]:
        """With p-values corrected for how many there are; of a plan not before its end."""
        if self.stop or not (self.look.final or self.look.of is None):
            return rows
        any_time = self.look.of is None
        p_values = rule([row.comparison.p_value(at_any_time=any_time) for row in rows])
        intervals = [
            one.at_any_time(ALPHA) if any_time else one.within(1.959964) for one in (row.comparison for row in rows)
        ]
        return [
            _with(row, found, p_value=None if math.isnan(p) else float(p))
            for row, found, p in zip(rows, intervals, p_values, strict=True)
        ]

    def _value(self, one: Comparison, interval: tuple[float, float]) -> tuple[float, float, float] | None:
        """What a contacted user has brought: ``± effect / share contacted · value - incentive · rate - contact``."""
        outcome = self.definition.outcomes[self.rule.primary]
        if one.best is None or not one.reached_share:
            return None
        sign, value, costs = (1 if self.rule.better == "more" else -1), 1.0, 0.0
        if isinstance(outcome, Outcome):
            value, costs = outcome.profit.value, outcome.profit.contact + outcome.profit.incentive * one.means[1]
        each = [sign * effect / one.reached_share * value - costs for effect in (one.best.effect.value, *interval)]
        return each[0], min(each[1:]), max(each[1:])


def _with(
    row: Row,
    interval: tuple[float, float] | None,
    *,
    p_value: float | None = None,
    value: tuple[float, float, float] | None = None,
) -> Row:
    low, high = interval if interval is not None else (None, None)
    return Row(
        row.outcome, row.variant, row.slice, row.comparison, row.waiting, low, high, p_value, value, row.known_by
    )
