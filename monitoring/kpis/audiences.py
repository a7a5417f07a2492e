"""Who is in which segment and state over time, from the memberships and the transitions."""

from datetime import date
from typing import Final

import numpy as np
import polars as pl

from features.definition.dimension import STATES, Dimension
from features.definition.schema import Definition
from features.local_days import days_of, zone_of
from monitoring.kpis.periods import date_of
from serving.activation.memberships import Memberships
from serving.published.kpis import Audience, AudienceDay

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

    def over_time(self, since: int) -> list[Audience]:
        """Size, entries and exits of each day since the first batch.

        A scoring of an instant speaks of what happened before it; one at midnight belongs to the day that ends then.

        Args:
            since: not before this day; days count from 1970, in the definition's time zone.
        """
        if not self._batches:
            return []
        first, last = self._days([self._batches[0], self._batches[-1]])
        moved = self._moved()
        sizes = dict(self._now.group_by("audience").len().iter_rows())
        last = max([last, *moved["day"].to_list()])
        found: dict[str, tuple[dict[int, int], dict[int, int]]] = {name: ({}, {}) for name in self._names}
        for name, day, entered, left in moved.iter_rows():
            if name in found:
                found[name][0][day], found[name][1][day] = entered, left
        made = []
        for name, (entered, left) in found.items():
            size, days = sizes.get(name, 0), []
            for day in range(last, first - 1, -1):
                came, went = entered.get(day, 0), left.get(day, 0)
                days.append(AudienceDay(day=date_of(day), size=size, entered=came, left=went))
                size += went - came
            if any(one.size or one.entered or one.left for one in days):
                shown = date_of(since) if since > first else date.min
                made.append(Audience(name=name, days=[one for one in reversed(days) if one.day >= shown]))
        return made

    def _moved(self) -> pl.DataFrame:
        """Columns ``audience, day, entered, left`` of all transitions between segments and states."""
        schema = {"audience": pl.String, "day": pl.Int64, "entered": pl.Int64, "left": pl.Int64}
        sums = pl.DataFrame(schema=schema)
        for some in self._memberships.movements(["segments", "states"]):
            day = pl.Series("day", self._days(some["at"].to_list()), dtype=pl.Int64)
            sides = [
                some.with_columns(day).filter(pl.col(side).is_not_null()).select(
                    _named(pl.col("dimension"), pl.col(side)).alias("audience"),
                    "day",
                    entered=pl.lit(int(side == "after"), dtype=pl.Int64),
                    left=pl.lit(int(side == "before"), dtype=pl.Int64),
                )
                for side in ("before", "after")
            ]  # fmt: skip
            sums = pl.concat([sums, *sides]).group_by("audience", "day").agg(pl.col("entered", "left").sum())
        return sums

    def _days(self, instants: list[int]) -> list[int]:
        zone = zone_of(self._definition.timezone)
        return [int(day) for day in days_of(zone, np.array(instants, dtype=np.int64) - 1)]


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
