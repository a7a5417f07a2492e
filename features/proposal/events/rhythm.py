"""The rhythm of a log: over how many days users come back and buy again, and what shares that makes."""

from dataclasses import dataclass

from features.engines.duckdb import Connection, rows_of
from features.time import DAY

#: lengths that windows and horizons have, in days
LENGTHS = (1, 3, 7, 14, 30, 60, 90, 180)

#: the shortest and the longest horizon, in days
_SHORTEST, _LONGEST = 7, 90

#: of all gaps between two active days, this share is shorter than the churn horizon
RETURNED = 0.95

#: cutoffs at which shares are counted, a horizon apart, back from the end
CUTOFFS = 6

#: a week with less than this share of the rows of the usual one is thin; thin weeks at the end are no part of the log
THIN = 0.05

#: of all users, at least this share should do what a likelihood is about, so that there is something to learn
ENOUGH = 0.02


@dataclass(frozen=True, slots=True)
class Horizon:
    """Over how many days an outcome is asked about, and of whom.

    Attributes:
        days: the horizon.
        among: users who were active within so many days.
        share: how often the answer was yes, of these users at a few cutoffs; None where there was nobody to ask about.
        users: how many answers that is of.
    """

    days: int
    among: int
    share: float | None
    users: int


@dataclass(frozen=True, slots=True)
class Rhythm:
    """What is known of a log's times.

    Attributes:
        first: the day of the first event, in days since 1970.
        ends: the day before which the log is complete.
        daily: whether times say the day only.
        usual_gap: of all gaps between two active days of a user, 95 % are at most so long.
        later: rows at or after the end: few of them, long after the others.
    """

    first: int
    ends: int
    daily: bool
    usual_gap: int
    later: int = 0

    @property
    def days(self) -> int:
        """How many days the log has."""
        return self.ends - self.first

    @property
    def windows(self) -> list[int]:
        """Windows of features: the usual lengths, up to half of the log."""
        return [length for length in LENGTHS if length <= max(self.days // 2, 7)]

    @property
    def horizons(self) -> list[int]:
        """Horizons that leave enough of the log to learn from: up to a fifth of it."""
        return [n for n in LENGTHS if _SHORTEST <= n <= min(_LONGEST, max(self.days // 5, _SHORTEST))]


def rhythm(connection: Connection) -> Rhythm:
    """Measure the rhythm of the table ``acts`` with ``u``, ``t`` and ``alive``."""
    [(first, last, daily)] = rows_of(
        connection, f"SELECT min(t), max(t), count(*) FILTER (t % {DAY} <> 0) < 0.01 * count(*) FROM acts"
    )
    # the last day of a log that says times breaks off when it was exported
    ends = last // DAY + 1 if daily or last % DAY > 0.95 * DAY else last // DAY
    whole, ends = ends, max(_dense(connection, ends), first // DAY + 1)
    [(after,)] = rows_of(connection, f"DELETE FROM acts WHERE t >= {ends * DAY}")
    [(gap,)] = rows_of(
        connection,
        f"SELECT quantile_disc(gap, {RETURNED}) FROM (SELECT day - lag(day) OVER (PARTITION BY u ORDER BY day) AS gap "
        f"FROM (SELECT DISTINCT u, t // {DAY} AS day FROM acts WHERE alive)) WHERE gap IS NOT NULL",
    )
    return Rhythm(first // DAY, ends, daily, int(gap) if gap is not None else 0, int(after) if ends < whole else 0)


def _dense(connection: Connection, ends: int) -> int:
    """The day before which a log is dense: without the last weeks in which hardly anything happens.

    Such are the rows of clocks that go wrong, of tests, and of an export that lacks most of its last files.
    """
    weeks = dict(rows_of(connection, f"SELECT ({ends * DAY} - 1 - t) // {7 * DAY}, count(*) FROM acts GROUP BY 1"))
    usual, all_rows = sorted(weeks.values())[len(weeks) // 2], sum(weeks.values())
    gone = 0
    for week in sorted(weeks):
        if weeks[week] >= THIN * usual:
            return int(ends - 7 * max(week, 0))
        gone += weeks[week]
        if gone > THIN / 5 * all_rows:
            break
    return ends


def usual_gap_of(connection: Connection, what: str) -> int:
    """The middle gap in days between two days of a user on which something was done; 0 where nobody did it twice."""
    [(gap,)] = rows_of(
        connection,
        f"SELECT quantile_disc(gap, 0.5) FROM (SELECT day - lag(day) OVER (PARTITION BY u ORDER BY day) AS gap "
        f"FROM (SELECT DISTINCT u, t // {DAY} AS day FROM acts WHERE {what})) WHERE gap IS NOT NULL",
    )
    return int(gap) if gap is not None else 0


def silence(connection: Connection, of: Rhythm) -> Horizon:
    """The churn horizon: the shortest that 95 % of all gaps stay below; and who is silent for as long."""
    horizons = of.horizons
    days = next((n for n in horizons if n >= of.usual_gap), horizons[-1])
    share, users = _share(connection, of, days, days, "NOT alive_later")
    return Horizon(days, days, share, users)


def doing(connection: Connection, of: Rhythm, among: int, what: str, least: int = 0) -> Horizon:
    """The horizon of something that is done: the shortest in which enough users do it.

    Args:
        connection: a connection.
        of: the log's rhythm.
        among: users who were active within so many days are asked about.
        what: the column of ``acts`` that says it was done.
        least: days that it should have at least: the usual gap between two times.
    """
    horizons = [n for n in of.horizons if n >= least] or of.horizons[-1:]
    for days in horizons:
        share, users = _share(connection, of, days, among, f"{what}_later")
        if share is not None and share >= ENOUGH:
            break
    return Horizon(days, among, share, users)


def _share(connection: Connection, of: Rhythm, days: int, among: int, yes: str) -> tuple[float | None, int]:
    """How often the answer was yes for users active before a cutoff, and of how many answers."""
    cuts = [of.ends - n * days for n in range(1, CUTOFFS + 1) if of.ends - n * days - among >= of.first]
    values = ", ".join(f"({cut * DAY})" for cut in cuts or [of.ends - days])
    later = f"t >= cut AND t < cut + {days * DAY}"
    [(users, share)] = rows_of(
        connection,
        f"""SELECT count(*), avg(CAST({yes} AS INTEGER)) FROM (
            SELECT bool_or(alive AND t < cut AND t >= cut - {among * DAY}) AS asked,
                   bool_or(alive AND {later}) AS alive_later,
                   bool_or(bought AND {later}) AS bought_later,
                   bool_or(gone AND {later}) AS gone_later
            FROM acts, (VALUES {values}) AS cutoffs(cut) GROUP BY u, cut) WHERE asked""",
    )
    return share, users
