"""The published KPIs, as ``kpis.json`` holds them and ``GET /kpis`` answers."""

from datetime import date
from pathlib import Path
from typing import Literal

from pydantic import Field, TypeAdapter

from serving.published.shape import Shape, read

#: the file in the monitoring folder
NAME = "kpis.json"

By = Literal["day", "week", "month"]


class ActiveDay(Shape):
    """Active users of a day.

    Attributes:
        day: the day, in the definition's time zone.
        daily: users who were active on that day.
        weekly: users who were active in the 7 days that end with it; null in the log's first 6 days.
        monthly: users who were active in the 30 days that end with it; null in the log's first 29 days.
        stickiness: daily over monthly; null where monthly is not known or 0.
    """

    day: date
    daily: int
    weekly: int | None
    monthly: int | None
    stickiness: float | None


class Rate(Shape):
    """How many of a period's active users did what an outcome asks about.

    Attributes:
        users: how many; null until it is known.
        rate: their share of the active users; null until it is known, and where nobody was active.
    """

    users: int | None
    rate: float | None


class Period(Shape):
    """A complete day, week or month.

    Attributes:
        starts: its first day; weeks start on Monday.
        active: users who were active in it: new, retained and resurrected ones.
        new: active for the first time in the log.
        retained: active in the period before, too.
        resurrected: active earlier, but not in the period before.
        lost: active in the period before, and not in this one.
        value: the value of all purchases less refunds; null where no signal has a value.
        value_per_user: the value over the active users; null where it is not known or nobody was active.
        outcomes: by outcome: for `will`, active users who did it in the period; for `will_not`, active users who did
            not do it within the outcome's horizon after the period.
    """

    starts: date
    active: int
    new: int
    retained: int
    resurrected: int
    lost: int
    value: float | None
    value_per_user: float | None
    outcomes: dict[str, Rate]


class Cohort(Shape):
    """Users whose first activity fell into the same week or month.

    Attributes:
        starts: the first day of that week or month.
        users: how many they are.
        retained: which share of them was active so many weeks or months later, from 0 on.
    """

    starts: date
    users: int
    retained: list[float]


class Group(Shape):
    """The KPIs of everybody, or of the users who are in a segment now.

    Attributes:
        name: `everybody`, or the segment's name.
        members: users who are in the segment now; null for everybody.
        days: active users day by day.
        periods: who came and went, outcomes and value.
        cohorts: retention.
    """

    name: str
    members: int | None
    days: list[ActiveDay]
    periods: list[Period]
    cohorts: list[Cohort]


class AudienceDay(Shape):
    """A segment or state on a day.

    Attributes:
        day: the day.
        size: users in it at the end of the day.
        entered: users who entered on that day.
        left: users who left on that day.
        rate: of a state, who entered it on that day from another state, per user who was in another one at the end of
            the day before; null on the first day, of segments, and where nobody was in another state.
    """

    day: date
    size: int
    entered: int
    left: int
    rate: float | None = None


class AudiencePeriod(Shape):
    """A state in a complete day, week or month.

    Attributes:
        starts: its first day.
        entered: who entered the state in it from another state.
        others: users who were in another state at the end of the day before it.
        rate: entered over others; null where nobody was in another state. Of a state of churned users, the churn rate.
    """

    starts: date
    entered: int
    others: int
    rate: float | None


class Audience(Shape):
    """Who is in a segment or state over time, since the first batch of scores.

    Attributes:
        name: `segments.NAME` or `states.NAME`.
        days: day by day.
        periods: of a state, who entered it in each complete period since the first batch.
    """

    name: str
    days: list[AudienceDay]
    periods: list[AudiencePeriod] = Field(default_factory=list)


class Kpis(Shape):
    """What was published last.

    Attributes:
        definition: the definition's name and digest.
        timezone: whose days these are.
        since: the first day that is shown.
        through: the last complete day of the log.
        by: the length of the periods.
        cohorts_by: the length of the cohorts' periods.
        groups: everybody, then each segment that somebody is in.
        audiences: segments and states; empty before the first batch of scores.
    """

    definition: str
    timezone: str
    since: date
    through: date
    by: By
    cohorts_by: Literal["week", "month"]
    groups: list[Group]
    audiences: list[Audience]

    def of(self, segment: str) -> "Kpis":
        """Only what is about a segment; no group and no audience where nobody was ever in it."""
        groups = [one for one in self.groups if one.name == segment]
        audiences = [one for one in self.audiences if one.name == f"segments.{segment}"]
        return self.model_copy(update={"groups": groups, "audiences": audiences})


_FILE = TypeAdapter(Kpis)


def published(folder: Path) -> Kpis | None:
    """Read what was published; None where nothing was.

    Args:
        folder: the monitoring folder.

    Raises:
        StoreError: the file is damaged.
    """
    return read(folder / NAME, _FILE, writer="propensity kpis")
