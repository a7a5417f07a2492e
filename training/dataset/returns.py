"""Who comes back after how long a silence: the Kaplan-Meier curve of returns, and a churn horizon read from it."""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from features.events.events import Events
from features.local_days import Zone, days_of

#: silences are counted in days up to this many
LONGEST = 730
#: a horizon is suggested from which on fewer than this share come back in as long again
COMING_BACK = 0.1
#: silences that a table shows, as far as the log shows them
SHOWN = (1, 2, 3, 5, 7, 10, 14, 21, 28, 30, 45, 60, 90, 120, 180, 365)


@dataclass(frozen=True, slots=True)
class Returns:
    """Silences of a signal: gaps between the days on which it fired, the last of each user still open.

    An open gap counts as long as it lasted: leaving it out would make everybody seem to come back soon (of CDNOW's
    observed gaps 80 % are shorter than 119 days, but only 54 % of the silent return within 120).

    Attributes:
        ended: how many silences of each length in days ended with a return.
        open: how many were still open at the log's end.
    """

    ended: NDArray[np.int64]
    open: NDArray[np.int64]

    @classmethod
    def of(cls, events: Events, signal: int, zone: Zone) -> "Returns":
        """Count the silences of some users, in days of a zone."""
        rows = np.flatnonzero((events.mask >> signal) & 1)
        owner = np.searchsorted(events.starts, rows, side="right") - 1
        day = days_of(zone, events.t[rows])
        # one row a user and day
        first = np.append(True, (np.diff(owner) != 0) | (np.diff(day) != 0)) if rows.size else np.zeros(0, dtype=bool)
        owner, day = owner[first], day[first]
        gaps = np.diff(day)[np.diff(owner) == 0]
        last = np.append(np.diff(owner) != 0, True) if owner.size else np.zeros(0, dtype=bool)
        silent = days_of(zone, np.array([events.ends])) - day[last]
        counts = (np.bincount(np.clip(part, 0, LONGEST), minlength=LONGEST + 1) for part in (gaps, silent))
        return cls(next(counts), next(counts))

    def __add__(self, other: "Returns") -> "Returns":
        """The silences of both."""
        return Returns(self.ended + other.ended, self.open + other.open)

    @property
    def silent(self) -> NDArray[np.float64]:
        """P(no return within ``d`` days) for every ``d``, as far as any silence lasts (Kaplan and Meier 1958)."""
        at_risk = (self.ended + self.open)[::-1].cumsum()[::-1]
        known = at_risk > 0
        hazard = self.ended[known] / at_risk[known]
        return np.asarray(np.cumprod(1.0 - hazard))

    def resurrection(self, days: int, within: int) -> float | None:
        """P(return within so many days more | silent for ``days``); None where the log does not tell."""
        silent = self.silent
        if days + within >= silent.size or silent[days] <= 0:
            return None
        return float(1.0 - silent[days + within] / silent[days])

    def suggested(self) -> int | None:
        """The silence from which on fewer than a tenth come back in as long again; None when the log shows none.

        Short silences do not count: of those silent for a day, few come back within one more, and most do later. It is
        a day where fewer than a tenth come back after any silence.
        """
        rates = [self.resurrection(days, days) for days in range(1, LONGEST // 2)]
        known = [back for back in rates if back is not None]
        returning = [days for days, back in enumerate(known, 1) if back >= COMING_BACK]
        if not returning:
            return 1 if known and self.silent[-1] > 1 - COMING_BACK else None
        return returning[-1] + 1 if returning[-1] < len(known) else None

    def advice(self) -> str:
        """The suggested horizon in words, or why there is none."""
        days, few = self.suggested(), f"fewer than {COMING_BACK:.0%} come back in as long again"
        if self.ended.sum() == 0:
            return "Nobody comes back: each user was here on one day only, so every horizon says the same."
        if days == 1:
            return f"Hardly anybody comes back: from the first day of silence on {few}."
        if days is None:
            return (
                f"After every silence that the log is long enough to show, {COMING_BACK:.0%} or more come back in as "
                "long again, so it suggests no churn horizon."
            )
        return f"After {days} days {few}: the suggested churn horizon."

    def rhythm(self) -> int | None:
        """The middle gap in days between two active days; None when nobody came back."""
        total = self.ended.cumsum()
        return int(np.searchsorted(total, total[-1] / 2)) if total[-1] else None

    def longer(self, days: int) -> float | None:
        """The share of gaps between two active days that are longer than so many days; None when nobody came back."""
        total = int(self.ended.sum())
        return float(self.ended[days + 1 :].sum() / total) if total else None

    def table(self) -> pl.DataFrame:
        """The curve at a few silences: who is still silent, and how many of them come back in as long again."""
        silent = self.silent
        days = [d for d in SHOWN if d < silent.size]
        return pl.DataFrame(
            {
                "silent_for_days": days,
                "not_back_yet": [float(silent[d]) for d in days],
                "back_within_as_long_again": [self.resurrection(d, d) for d in days],
            },
            schema_overrides={"back_within_as_long_again": pl.Float64},
        )
