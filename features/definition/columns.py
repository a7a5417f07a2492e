"""The feature set: which named numbers a profile yields, in which order."""

import hashlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from features.definition.memoise import kept
from features.definition.schema import Definition
from features.definition.sections.families import Family
from features.definition.sections.signal import Signal
from features.time import DAY, span_name

#: of a signal's values, in the order in which a profile keeps them
VALUES = ("first", "last", "largest", "mean", "spread")

CALENDAR = ("cutoff_weekday", "cutoff_month_day")

#: of a plan's charge: what is paid a month, and was before; what of the difference each move is; days until renewal
PLAN = ("mrr", "mrr_before", "mrr_new", "mrr_expansion", "mrr_contraction", "mrr_churned", "mrr_reactivated",
        "renewal_days")  # fmt: skip

HABITS = ("night_share", "morning_share", "afternoon_share", "evening_share", "weekend_share")


@dataclass(frozen=True, slots=True)
class FeatureSet:
    """The ordered columns of a feature row.

    Attributes:
        read: columns the kernel reads from a profile, in the kernel's order.
        derived: columns computed from those by the definition's expressions.
        traits: text columns known from the trait table.
        meaning: what the columns are made of: signals, windows, half-lives, limits and derived expressions, as JSON.
    """

    read: tuple[str, ...]
    derived: tuple[str, ...]
    traits: tuple[str, ...]
    meaning: str

    @property
    def numeric(self) -> tuple[str, ...]:
        """Numeric columns of a feature row."""
        return self.read + self.derived

    @property
    def digest(self) -> str:
        """Eight hex digits of names and meaning; a model trained on another set refuses to score."""
        return hashlib.sha256("\n".join((*self.numeric, "|", *self.traits, self.meaning)).encode()).hexdigest()[:8]


def share_window(windows: list[int]) -> int:
    """The window over which a signal's share of all activity is taken: the longest up to 30 days."""
    days = [w for w in windows if w >= DAY]
    return max([w for w in days if w <= 30 * DAY] or days[:1])


def trend_pairs(windows: list[int]) -> list[tuple[int, int]]:
    """Windows ``w`` whose double is also a window: their halves are compared as a trend."""
    return [(w, 2 * w) for w in windows if w >= DAY and 2 * w in windows]


@kept
def read_columns(definition: Definition) -> tuple[str, ...]:
    """Name what the kernel reads, signal by signal, then for the user as a whole (the order of `kernel.read.read`)."""
    windows = definition.windows
    days = [span_name(w) for w in windows if w >= DAY]
    names: list[str] = []
    for signal, rule in definition.signals.items():
        names += [f"{signal}_count_{span_name(w)}" for w in windows if w < DAY]
        names += [f"{signal}_count_{d}" for d in days]
        names += [f"{signal}_active_days_{d}" for d in days]
        names += [f"{signal}_value_{d}" for d in days] if rule.value else []
        names += [f"{signal}_count_total", f"{signal}_active_days_total"]
        names += [f"{signal}_value_total"] if rule.value else []
        names += [f"days_since_{signal}", f"days_since_first_{signal}", f"{signal}_silence_share"]
        names += [f"{signal}_gap_mean", f"{signal}_gap_std", f"{signal}_gap_last", f"{signal}_overdue"]
        names += [f"{signal}_decayed_{span_name(h)}" for h in definition.half_lives]
        names += [f"{signal}_trend_{span_name(w)}" for w, _ in trend_pairs(windows)]
        names += [f"{signal}_share_{span_name(share_window(windows))}", f"days_since_comeback_{signal}"]
    return (*names, "tenure_days", *(f"{definition.activity}_{habit}" for habit in HABITS), *_families(definition))


def _families(definition: Definition) -> Iterator[str]:
    """The columns of families and properties that are asked for (the order of `kernel.families.read_families`)."""
    families = definition.features.families
    for signal, rule in definition.signals.items():
        if Family.GAPS in families:
            yield from (f"{signal}_gap_median", f"{signal}_gap_largest")
        if Family.SESSIONS in families:
            yield from (f"{signal}_sessions_{span_name(w)}" for w in definition.windows if w >= DAY)
            yield from (f"{signal}_sessions_total", f"{signal}_session_events")
        if Family.VALUES in families and rule.value:
            yield from _statistics(f"{signal}_value", definition, rule)
        for of in rule.more_values:
            yield from (f"{signal}_{of}_{span_name(w)}" for w in definition.windows if w >= DAY)
            yield f"{signal}_{of}_total"
            yield from _statistics(f"{signal}_{of}", definition, rule) if Family.VALUES in families else ()
        for of in rule.distinct:
            yield from (f"{signal}_distinct_{of}_{span_name(w)}" for w in definition.windows if w >= DAY)
            yield f"{signal}_distinct_{of}_total"
        if rule.refund is not None:
            yield from _kept_orders(signal, definition)
        if rule.recurring is not None:
            yield from (f"{signal}_{part}" for part in PLAN)
    if Family.CALENDAR in families:
        yield from CALENDAR


def _statistics(value: str, definition: Definition, rule: Signal) -> Iterator[str]:
    """The columns of the family of values, of one of them; of orders, whose rows are lines, the means alone."""
    yield from (f"{value}_{part}" for part in VALUES if rule.order is None or part == "mean")
    yield from (f"{value}_mean_{span_name(w)}" for w in definition.windows if w >= DAY)


def _kept_orders(signal: str, definition: Definition) -> Iterator[str]:
    """The columns of a signal's orders that stand: of which less was given back than they are worth."""
    for kind in ("kept", "kept_days"):
        yield from (f"{signal}_{kind}_{span_name(w)}" for w in definition.windows if w >= DAY)
        yield f"{signal}_{kind}_total"
    yield from (f"days_since_kept_{signal}", f"days_since_first_kept_{signal}", f"{signal}_kept_gap_mean")


class Occasions(NamedTuple):
    """The columns that say how often something was done, and when.

    Attributes:
        times: how many times in all.
        days: on how many days in all.
        days_in: the same within a window, before its name.
        first: days since the first time.
        last: days since the last time.
        every: how many days lie between two days with it, on average.
    """

    times: str
    days: str
    days_in: str
    first: str
    last: str
    every: str


def occasions(signal: str, names: Collection[str]) -> Occasions:
    """What counts as doing it again: orders that stand, of signals that say which rows are refunds; else events.

    Args:
        signal: the signal.
        names: columns that there are, at least those about its last time.
    """
    if (last := f"days_since_kept_{signal}") in names:
        every = f"{signal}_kept_gap_mean"
        days, first = f"{signal}_kept_days", f"days_since_first_kept_{signal}"
        return Occasions(f"{signal}_kept_total", f"{days}_total", days, first, last, every)
    days, first, every = f"{signal}_active_days", f"days_since_first_{signal}", f"{signal}_gap_mean"
    return Occasions(f"{signal}_count_total", f"{days}_total", days, first, f"days_since_{signal}", every)


@kept
def feature_set(definition: Definition) -> FeatureSet:
    """Derive the feature set from the definition; names are never typed twice."""
    # what decides what a column of a name is; which columns there are, their names tell
    limits = {"absence", "session"} if Family.SESSIONS in definition.features.families else {"absence"}
    meaning: dict[str, bool | set[str]] = dict.fromkeys(
        ("signals", "windows", "half_lives", "derived", "timezone", "currencies"), True
    )
    return FeatureSet(
        read=read_columns(definition),
        derived=tuple(definition.derived),
        traits=tuple(definition.traits.fields) if definition.traits else (),
        meaning=definition.model_dump_json(include=meaning | {"features": limits}),
    )
