"""Who is in which segment and state over time, from the memberships and the transitions."""

from collections.abc import Iterator
from typing import Final

import numpy as np
import polars as pl

from features.definition.dimension import STATES, Dimension
from features.definition.schema import Definition
from features.local_days import days_of, zone_of
from features.time import Instants
from monitoring.kpis.periods import date_of, last_complete, period, start
from serving.activation.memberships import Memberships
from serving.published.kpis import Audience, AudienceDay, AudiencePeriod, By

#: who is in which segment now
MEMBERS: Final = pl.Schema({"user": pl.String(), "group": pl.Int64()})


class Audiences:
    """Segments and states of a definition's users.

    Args:
        definition: its segments and states.
        memberships: who is in what, and who moved.
    """

    def __init__(self, definition: Definition, memberships: Memberships) -> None:
        self._definition, self._memberships = definition, memberships
        segments, states = map(Dimension.segment, definition.segments), map(STATES.named, definition.states)
        self._names = [*segments, *states]
        self._batches = memberships.batches()
        self._now = _held(memberships.summaries()) if self._batches else _held(_NOBODY)

    @property
    def known(self) -> bool:
        """Whether a batch of scores has recorded who is in what."""
        return bool(self._batches)

    def numbered(self) -> tuple[pl.DataFrame, list[str]]:
        """The current members of segments as `MEMBERS`, and the segments' names: the first is group 1."""
        held = set(self._now["audience"].unique())
        names = [name for name in self._definition.segments if Dimension.segment(name) in held]
        numbers = pl.DataFrame(
            {"audience": [str(Dimension.segment(name)) for name in names], "group": range(1, len(names) + 1)},
            schema={"audience": pl.String, "group": pl.Int64},
        )
        return self._now.join(numbers, on="audience").select(MEMBERS.names()), names

    def over_time(self, since: int, by: By = "week") -> list[Audience]:
        """Size, entries and exits of each day since the first batch; of states, how many of the others entered, too.

        A scoring of an instant speaks of what happened before it; one at midnight belongs to the day that ends then.

        Args:
            since: not before this day; days count from 1970, in the definition's time zone.
            by: the length of periods.
        """
        if not self._batches:
            return []
        first, last = self._days([self._batches[0], self._batches[-1]])
        moved = self._moved()
        sizes = dict(self._now.group_by("audience").len().iter_rows())
        last = max([last, *moved["day"].to_list()])
        counts = {name: np.zeros((3, last - first + 1), dtype=np.int64) for name in self._names}
        for name, day, *three in moved.iter_rows():
            if name in counts and day >= first:
                counts[name][:, day - first] = three
        held = {name: _backwards(sizes.get(name, 0), *three[:2]) for name, three in counts.items()}
        states = [held[name] for name in self._names if name.startswith(f"{STATES}.")]
        everybody = np.sum(states, axis=0) if states else np.zeros(last - first + 1, dtype=np.int64)
        shown = max(since, first)
        return [
            _audience(name, held[name], counts[name], everybody, first, shown, by)
            for name in self._names if held[name].any() or counts[name].any()
        ]  # fmt: skip

    def _moved(self) -> pl.DataFrame:
        """Columns ``audience, day, entered, left, came`` of all transitions; who came was in another state before."""
        counted = dict.fromkeys(("entered", "left", "came"), pl.Int64)
        schema = {"audience": pl.String, "day": pl.Int64, **counted}
        sums = pl.DataFrame(schema=schema)
        for some in self._memberships.movements(["segments", "states"]):
            day = pl.Series("day", self._days(some["at"].to_list()), dtype=pl.Int64)
            sides = [
                some.with_columns(day).filter(pl.col(side).is_not_null()).select(
                    _named(pl.col("dimension"), pl.col(side)).alias("audience"),
                    "day",
                    entered=pl.lit(int(side == "after"), dtype=pl.Int64),
                    left=pl.lit(int(side == "before"), dtype=pl.Int64),
                    came=(pl.col("before").is_not_null() & (side == "after")).cast(pl.Int64),
                )
                for side in ("before", "after")
            ]  # fmt: skip
            sums = pl.concat([sums, *sides]).group_by("audience", "day").agg(pl.col(*counted).sum())
        return sums

    def _days(self, instants: list[int]) -> list[int]:
        zone = zone_of(self._definition.timezone)
        return [int(day) for day in days_of(zone, np.array(instants, dtype=np.int64) - 1)]


def _backwards(now: int, entered: Instants, left: Instants) -> Instants:
    """The size at the end of each day, by what it is at the end of the last one."""
    after = np.append(np.cumsum((entered - left)[::-1])[::-1][1:], 0)
    return np.asarray(now - after)


def _audience(
    name: str, size: Instants, counts: Instants, everybody: Instants, first: int, shown: int, by: By
) -> Audience:
    """An audience day by day, and of a state period by period.

    Args:
        name: of the audience.
        size: of each day.
        counts: who entered, left, and came from another state, ``[3, days]``.
        everybody: how many users have a state, of each day.
        first: the first day.
        shown: the first day that is shown.
        by: the length of periods.
    """
    entered, left, came = counts
    others = np.append(0, (everybody - size)[:-1])  # at the end of the day before
    of_state = name.startswith(f"{STATES}.")
    days = [
        AudienceDay(
            day=date_of(first + i), size=int(size[i]), entered=int(entered[i]), left=int(left[i]),
            rate=_rate(int(came[i]), int(others[i])) if of_state else None,
        )
        for i in range(shown - first, len(size))
    ]  # fmt: skip
    return Audience(name=name, days=days, periods=list(_periods(came, others, first, shown, by)) if of_state else [])


def _periods(came: Instants, others: Instants, first: int, shown: int, by: By) -> Iterator[AudiencePeriod]:
    """The complete periods after the first day: before it nobody is known."""
    least = max(shown, first + 1)
    begins = period(least, by)
    begins += start(begins, by) < least
    for number in range(begins, last_complete(first + len(came) - 1, by) + 1):
        day, end = start(number, by) - first, start(number + 1, by) - first
        entered, before = int(came[day:end].sum()), int(others[day])
        starts = date_of(first + day)
        yield AudiencePeriod(starts=starts, entered=entered, others=before, rate=_rate(entered, before))


def _rate(entered: int, others: int) -> float | None:
    return entered / others if others else None


_NOBODY = pl.DataFrame(schema={"user": pl.String, "summary": pl.String})


def _held(summaries: pl.DataFrame) -> pl.DataFrame:
    """Columns ``user`` and ``audience`` of memberships in short: ``segments.NAME`` and ``states.NAME``."""
    each = summaries.select("user", pl.col("summary").str.split(";")).explode("summary")
    name, value = pl.col("summary").str.split("=").list.get(0), pl.col("summary").str.split("=").list.get(1)
    kind = name.str.split(".").list.get(0)
    each = each.filter(pl.col("summary").str.contains("=")).filter(kind.is_in(["segments", "states"]))
    return each.select("user", audience=_named(name, value))


def _named(dimension: pl.Expr, value: pl.Expr) -> pl.Expr:
    """What `Dimension.named` says, of whole columns."""
    return pl.when(dimension == STATES).then(pl.format("{}.{}", dimension, value)).otherwise(dimension)
