"""The KPIs of a log: one pass over it, for everybody and for each segment's users of now."""

from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl

from features.definition.schema import Definition
from features.errors import PropensityError
from features.events.events import Events
from features.events.log import Log
from features.local_days import days_of, zone_of
from features.system.progress import Progress, ignore
from monitoring.collected import collected
from monitoring.kpis.activity import ROLLING, Calendar, counted, known_outcomes
from monitoring.kpis.audiences import Audiences
from monitoring.kpis.periods import date_of, day_number, last_complete, period, start
from monitoring.kpis.tally import TALLY
from serving.published.kpis import ActiveDay, By, Cohort, Group, Kpis, Period, Rate

#: the name of the group of all users
EVERYBODY = "everybody"

#: cohorts are of weeks in a log of up to so many days, else of months
WEEKS_UNTIL = 26 * 7

#: the last value of a day before it is cut off
FLOWS = ("active", "new", "retained", "resurrected", "lost")


def calendar_of(log: Log, definition: Definition, by: By | None) -> Calendar:
    """The days of a log and their periods.

    Args:
        log: the log.
        definition: its time zone.
        by: the length of periods; None for weeks, or days where the log has no complete week.

    Raises:
        PropensityError: the log has no complete day, or no complete period.
    """
    zone = zone_of(definition.timezone)
    first, end = days_of(zone, np.array([log.first, log.ends], dtype=np.int64)).tolist()
    last = end - 1  # the log is complete until before its end
    if last < first:
        raise PropensityError(
            f"the log has no complete day: it begins on {date_of(first)} and ends on {date_of(end)}.",
            fix="bring a longer log, or a later --ends",
        )
    chosen: By = by or ("week" if last_complete(last, "week") >= period(first, "week") else "day")
    if last_complete(last, chosen) < period(first, chosen):
        raise PropensityError(
            f"--by {chosen}: the log, from {date_of(first)} to {date_of(last)}, has no complete {chosen}.",
            fix="choose --by day",
        )
    weeks = last - first < WEEKS_UNTIL
    return Calendar(first, last, chosen, "week" if weeks else "month")


def kpis(
    log: Log, definition: Definition, audiences: Audiences, folder: Path, *, by: By | None = None,
    since: date | None = None, progress: Progress = ignore,
) -> Kpis:  # fmt: skip
    """Compute the KPIs; memory holds the counts of days, periods and cohorts, and who is in which segment.

    Args:
        log: the log.
        definition: the definition.
        audiences: who is in what; segments that nobody is in have no KPIs of their own.
        folder: counts are written beside it meanwhile.
        by: the length of periods; None for weeks, or days where the log has no complete week.
        since: the first day to show; users count as new and resurrected by what they did before it, too.
        progress: called for each run of users that is done.

    Raises:
        PropensityError: the log has no complete period, or ends before ``since``.
    """
    calendar = calendar_of(log, definition, by)
    shown = max(calendar.first, day_number(since)) if since is not None else calendar.first
    if shown > calendar.last:
        raise PropensityError(
            f"--since {since} is after {date_of(calendar.last)}, the last complete day of the log.",
            fix="choose an earlier day",
        )
    members, names = audiences.numbered()
    sums = _sums(log, definition, calendar, members, len(names) + 1, folder, progress)
    sizes = dict(members.group_by("group").len().iter_rows())
    known = known_outcomes(definition, calendar, log.ends)
    return Kpis(
        definition=definition.version, timezone=definition.timezone, since=date_of(shown),
        through=date_of(calendar.last), by=calendar.by, cohorts_by=calendar.cohorts_by,
        groups=[
            _group(name, sizes.get(code, 0) if code else None, sums.get(code, {}), definition, calendar, shown, known)
            for code, name in enumerate([EVERYBODY, *names])
        ],
        audiences=audiences.over_time(shown, calendar.by),
    )  # fmt: skip


#: counts of one group: of each kind, the amount at each place
Counts = Mapping[str, Mapping[int, float]]


def _sums(
    log: Log, definition: Definition, calendar: Calendar, members: pl.DataFrame, groups: int, folder: Path,
    progress: Progress,
) -> Mapping[int, Counts]:  # fmt: skip
    """The counts of all users, by group and kind."""

    def read(events: Events) -> Iterator[pl.DataFrame]:
        yield counted(events, definition, calendar, members, groups)

    with collected(log, read, TALLY, folder, progress=progress) as parts:
        sums = parts.group_by("group", "kind", "at").agg(pl.col("amount").sum()).collect()
    found: dict[int, dict[str, dict[int, float]]] = {}
    for (group, kind), part in sums.partition_by("group", "kind", as_dict=True, include_key=False).items():
        found.setdefault(int(group), {})[str(kind)] = dict(part.iter_rows())
    return found


def _group(
    name: str, members: int | None, counts: Counts, definition: Definition, calendar: Calendar, shown: int,
    known: Mapping[str, int],
) -> Group:  # fmt: skip
    return Group(
        name=name, members=members, days=list(_days(counts, calendar, shown)),
        periods=list(_periods(counts, definition, calendar, shown, known)),
        cohorts=list(_cohorts(counts, calendar, shown)),
    )  # fmt: skip


def _row(counts: Counts, kind: str, span: int) -> list[float]:
    at = counts.get(kind, {})
    return [at.get(place, 0.0) for place in range(span)]


def _days(counts: Counts, calendar: Calendar, shown: int) -> Iterator[ActiveDay]:
    daily = _row(counts, "daily", calendar.days)
    rolling = {
        kind: np.cumsum(np.subtract(_row(counts, kind, calendar.days), _row(counts, f"{kind} ended", calendar.days)))
        for kind in ROLLING
    }
    for place in range(shown - calendar.first, calendar.days):
        weekly, monthly = (
            round(float(rolling[kind][place])) if place + 1 >= length else None for kind, length in ROLLING.items()
        )
        yield ActiveDay(
            day=date_of(calendar.first + place), daily=round(daily[place]), weekly=weekly, monthly=monthly,
            stickiness=daily[place] / monthly if monthly else None,
        )  # fmt: skip


def _periods(
    counts: Counts, definition: Definition, calendar: Calendar, shown: int, known: Mapping[str, int]
) -> Iterator[Period]:
    first, span = calendar.range(calendar.by)
    flows = {kind: [round(n) for n in _row(counts, kind, span)] for kind in FLOWS}
    value = _row(counts, "value", span) if definition.money is not None else None
    outcomes = {name: _row(counts, f"outcome {name}", span) for name in definition.likelihoods}
    for place in range(max(0, period(shown, calendar.by) - first), span):
        active = flows["active"][place]
        yield Period(
            starts=date_of(start(first + place, calendar.by)),
            **{kind: row[place] for kind, row in flows.items()},
            value=round(value[place], 6) if value is not None else None,
            value_per_user=round(value[place] / active, 6) if value is not None and active else None,
            outcomes={
                name: _rate(round(row[place]) if place < known[name] else None, active)
                for name, row in outcomes.items()
            },
        )


def _rate(users: int | None, active: int) -> Rate:
    return Rate(users=users, rate=users / active if users is not None and active else None)


def _cohorts(counts: Counts, calendar: Calendar, shown: int) -> Iterator[Cohort]:
    first, span = calendar.range(calendar.cohorts_by)
    found = counts.get("cohort", {})
    for cohort in range(max(0, period(shown, calendar.cohorts_by) - first), span):
        users = found.get(cohort * span, 0.0)
        if users:
            later = [found.get(cohort * span + age, 0.0) / users for age in range(span - cohort)]
            starts = date_of(start(first + cohort, calendar.cohorts_by))
            yield Cohort(starts=starts, users=round(users), retained=later)
