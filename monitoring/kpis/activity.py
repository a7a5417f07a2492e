"""What the users of a run did, counted by day, period and cohort."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from features.definition.schema import Definition
from features.definition.sections.outcome import Outcome
from features.engines.refunds import REFUND
from features.events.events import Events
from features.events.orders import without_lines
from features.local_days import days_of, starts_of, zone_of
from features.time import Instants
from monitoring.kpis.periods import last_complete, period, period_of, start
from monitoring.kpis.tally import TALLY, Groups, Tally
from serving.published.kpis import By
from training.dataset.outcomes import label

#: how many days end with a day whose weekly or monthly active users are counted
ROLLING = {"weekly": 7, "monthly": 30}


@dataclass(frozen=True, slots=True)
class Calendar:
    """The days that are counted, and how they are divided.

    Attributes:
        first: the day of the first event; days count from 1970, in the definition's time zone.
        last: the last complete day.
        by: the length of periods.
        cohorts_by: the length of cohorts' periods.
    """

    first: int
    last: int
    by: By
    cohorts_by: Literal["week", "month"]

    @property
    def days(self) -> int:
        """How many days there are."""
        return self.last - self.first + 1

    def range(self, by: By) -> tuple[int, int]:
        """The first period, and how many there are up to the last complete one."""
        first = period(self.first, by)
        return first, max(0, last_complete(self.last, by) - first + 1)


@dataclass(frozen=True, slots=True)
class Active:
    """When users were active, each day or period once, sorted by user and time.

    Attributes:
        owner: the user.
        at: the day or period.
    """

    owner: NDArray[np.int64]
    at: Instants

    @classmethod
    def once(cls, owner: NDArray[np.int64], at: Instants) -> "Active":
        """Rows without repeats; they are sorted."""
        fresh = np.ones(owner.size, dtype=np.bool_)
        fresh[1:] = (owner[1:] != owner[:-1]) | (at[1:] != at[:-1])
        return cls(owner[fresh], at[fresh])

    @property
    def begins(self) -> NDArray[np.bool_]:
        """Whether a row is its user's first."""
        found = np.ones(self.owner.size, dtype=np.bool_)
        found[1:] = self.owner[1:] != self.owner[:-1]
        return found

    def of(self, by: By, through: int) -> "Active":
        """The periods of these days, up to one."""
        at = period_of(self.at, by)
        kept = at <= through
        return Active.once(self.owner[kept], at[kept])


def counted(
    events: Events, definition: Definition, calendar: Calendar, members: pl.DataFrame, groups: int
) -> pl.DataFrame:
    """Count what the users of a run did.

    Args:
        events: theirs; users are who they are today.
        definition: signals and outcomes.
        calendar: the days.
        members: columns ``user`` and ``group``, a number from 1 on.
        groups: how many groups there are, with everybody.

    Returns:
        `TALLY`; ``at`` counts days and periods from the calendar's first; of cohorts it is
        ``cohort * cohorts + periods later``.
    """
    mine = replace(events.newest(), spans=None)
    if not len(mine.users):
        return TALLY.to_frame()
    plain = without_lines(mine, definition)
    owner = np.repeat(np.arange(len(mine.users)), np.diff(mine.starts))
    days = days_of(zone_of(definition.timezone), mine.t)
    shows = (plain.mask >> list(definition.signals).index(definition.activity)) & 1 == 1
    shows &= days <= calendar.last
    active = Active.once(owner[shows], days[shows])
    tally = Tally(Groups.of(mine, members, groups))
    _count_days(tally, active, calendar)
    _count_flows(tally, active, calendar)
    _count_cohorts(tally, active, calendar)
    _count_outcomes(tally, active, plain, owner, days, definition, calendar)
    _count_value(tally, mine, owner, days, definition, calendar)
    return tally.frame()


def _count_days(tally: Tally, active: Active, calendar: Calendar) -> None:
    """Users of each day, and where those of 7 and 30 days begin and end to be counted."""
    day, span = active.at - calendar.first, calendar.days
    tally.add("daily", active.owner, day, span)
    following = np.full(day.size, np.iinfo(np.int64).max)
    same = active.owner[1:] == active.owner[:-1]
    following[:-1][same] = day[1:][same]
    for kind, length in ROLLING.items():
        tally.add(kind, active.owner, day, span)
        # a user counts until so many days are over, or until the next active day, from which they count again
        tally.add(f"{kind} ended", active.owner, np.minimum(day + length, following), span)


def _count_flows(tally: Tally, active: Active, calendar: Calendar) -> None:
    first, span = calendar.range(calendar.by)
    found = active.of(calendar.by, first + span - 1)
    at, begins = found.at - first, found.begins
    before = np.where(begins, -2, np.concatenate([[-2], at[:-1]])[: at.size])
    ends = np.concatenate([begins[1:], [True]])[: at.size]
    stays = ~ends & (np.concatenate([at[1:], [-2]])[: at.size] == at + 1)
    tally.add("active", found.owner, at, span)
    for kind, rows in (
        ("new", begins), ("retained", before == at - 1), ("resurrected", ~begins & (before < at - 1)),
    ):  # fmt: skip
        tally.add(kind, found.owner[rows], at[rows], span)
    tally.add("lost", found.owner[~stays], at[~stays] + 1, span)


def _count_cohorts(tally: Tally, active: Active, calendar: Calendar) -> None:
    first, span = calendar.range(calendar.cohorts_by)
    found = active.of(calendar.cohorts_by, first + span - 1)
    at = found.at - first
    cohort = at[np.maximum.accumulate(np.where(found.begins, np.arange(at.size), 0))] if at.size else at
    tally.add("cohort", found.owner, cohort * span + at - cohort, span * span)


def _count_outcomes(
    tally: Tally, active: Active, events: Events, owner: NDArray[np.int64], days: Instants, definition: Definition,
    calendar: Calendar,
) -> None:  # fmt: skip
    """Active users of a period who did what is asked for in it, or did not do it after it."""
    first, span = calendar.range(calendar.by)
    found = active.of(calendar.by, first + span - 1)
    for name, rule in definition.likelihoods.items():
        if rule.will_not:
            who, at = _stayed_away(found, events, definition, name, rule, calendar.by)
        else:
            fired = (events.mask >> list(definition.signals).index(rule.signal)) & 1 == 1
            did = Active.once(owner[fired], period_of(days[fired], calendar.by))
            both = np.isin(_keys(found, first, span), _keys(did, first, span))
            who, at = found.owner[both], found.at[both]
        tally.add(f"outcome {name}", who, at - first, span)


def _keys(found: Active, first: int, span: int) -> NDArray[np.int64]:
    """A number of each user and period; -1 of periods that are not counted."""
    at = found.at - first
    keys: NDArray[np.int64] = np.where((at >= 0) & (at < span), found.owner * span + at, -1)
    return keys


def _stayed_away(
    found: Active, events: Events, definition: Definition, name: str, rule: Outcome, by: By
) -> tuple[NDArray[np.int64], Instants]:
    """Active users of a period who did not do it after its end, by the code that labels for training."""
    kept = np.flatnonzero(ends_of(found.at, definition, by) + rule.reach <= events.ends)
    who, at = found.owner[kept], found.at[kept]
    cutoffs = pl.Series("cutoff", ends_of(at, definition, by)).cast(pl.Datetime("us", "UTC"))
    asked = pl.DataFrame({"user": events.users.gather(who), "cutoff": cutoffs})
    away = label(events, asked, definition, name).to_numpy() == 1 if len(asked) else np.zeros(0, dtype=np.bool_)
    return who[away], at[away]


def ends_of(periods: Instants, definition: Definition, by: By) -> Instants:
    """The instant at which each period is over."""
    unique, place = np.unique(periods, return_inverse=True)
    days = np.array([start(number + 1, by) for number in unique.tolist()], dtype=np.int64)
    instants: Instants = starts_of(zone_of(definition.timezone), days)[place]
    return instants


def known_outcomes(definition: Definition, calendar: Calendar, ends: int) -> dict[str, int]:
    """Of each outcome how many periods, from the first on, are so old that it is known of them."""
    first, span = calendar.range(calendar.by)
    over = ends_of(np.arange(first, first + span), definition, calendar.by)
    return {
        name: int((over + rule.reach <= ends).sum()) if rule.will_not else span
        for name, rule in definition.likelihoods.items()
    }


def _count_value(
    tally: Tally, events: Events, owner: NDArray[np.int64], days: Instants, definition: Definition, calendar: Calendar
) -> None:
    """What users are worth in each period, refunds taken off."""
    if definition.money is None:
        return
    first, span = calendar.range(calendar.by)
    fired = (events.mask >> list(definition.signals).index(definition.money)) & 1 == 1
    rows = np.flatnonzero(fired | (events.mask >= REFUND))
    amounts = events.values[rows, definition.valued.index(definition.money)]
    tally.add("value", owner[rows], period_of(days[rows], calendar.by) - first, span, amounts)
