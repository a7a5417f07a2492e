"""KPIs in plain Python, user by user and day by day."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from features.definition import Definition
from features.time import to_datetime, to_instant
from tests.oracle import Event, fires, worth_of

#: what one period has: active, new, retained, resurrected, lost
Flow = tuple[int, int, int, int, int]


@dataclass(frozen=True)
class Plain:
    """A log, counted with sets.

    Attributes:
        definition: the definition.
        log: all events.
        ends: the log is complete through this instant.
        users: only these count.
    """

    definition: Definition
    log: list[Event]
    ends: int
    users: frozenset[str]

    def day(self, t: int) -> date:
        return to_datetime(t).astimezone(ZoneInfo(self.definition.timezone)).date()

    @property
    def mine(self) -> list[Event]:
        return [e for e in self.log if e.user in self.users]

    @property
    def last(self) -> date:
        return self.day(self.ends) - timedelta(days=1)

    @property
    def days(self) -> list[date]:
        first = self.day(min(e.t for e in self.log))
        return [first + timedelta(days=i) for i in range((self.last - first).days + 1)]

    def active(self, days: Iterable[date]) -> set[str]:
        wanted = set(days)
        return {e.user for e in self.mine if fires(self.definition, e, "visit") and self.day(e.t) in wanted}

    def periods(self, by: str) -> list[list[date]]:
        """The complete periods, each with all its days, the first from its calendar beginning on."""
        found: list[list[date]] = []
        start = beginning(self.days[0], by)
        while (following := after(start, by)) - timedelta(days=1) <= self.last:
            found.append([start + timedelta(days=i) for i in range((following - start).days)])
            start = following
        return found

    def flows(self, by: str) -> list[Flow]:
        found, ever, before = [], set[str](), set[str]()
        for days in self.periods(by):
            now = self.active(days)
            new, retained = now - ever, now & before
            found.append((len(now), len(new), len(retained), len(now - new - retained), len(before - now)))
            ever, before = ever | now, now
        return found

    def value(self, days: list[date]) -> float:
        return sum(worth_of(self.definition, e, "purchase") for e in self.mine if self.day(e.t) in days)

    def did(self, signal: str, days: list[date]) -> int:
        did = {e.user for e in self.mine if fires(self.definition, e, signal) and self.day(e.t) in days}
        return len(did & self.active(days))

    def stayed_away(self, outcome: str, days: list[date]) -> int | None:
        rule = self.definition.outcomes[outcome]
        following, place = days[-1] + timedelta(days=1), ZoneInfo(self.definition.timezone)
        end = to_instant(datetime.combine(following, datetime.min.time(), place))
        if end + rule.reach > self.ends:
            return None
        start = end + rule.gap
        after = [e for e in self.mine if start <= e.t < start + rule.within]
        back = {e.user for e in after if fires(self.definition, e, rule.signal)}
        return len(self.active(days) - back)

    def cohorts(self, by: str) -> dict[date, list[int]]:
        """Of each cohort how many were active in its own period, and in each later one."""
        periods = self.periods(by)
        active, found = [self.active(days) for days in periods], {}
        ever: set[str] = set()
        for i, days in enumerate(periods):
            fresh, ever = active[i] - ever, ever | active[i]
            if fresh:
                found[days[0]] = [len(fresh & later) for later in active[i:]]
        return found


def beginning(day: date, by: str) -> date:
    if by == "week":
        return day - timedelta(days=day.weekday())
    return day.replace(day=1) if by == "month" else day


def after(start: date, by: str) -> date:
    if by == "month":
        return (start + timedelta(days=32)).replace(day=1)
    return start + timedelta(days=7 if by == "week" else 1)
