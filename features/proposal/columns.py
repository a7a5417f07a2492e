"""What the columns of a log are: the user, the event, its times and its id, guessed from names and values."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from features.engines.duckdb import Connection, quote, reading, rows_of
from features.engines.formats import hint
from features.engines.tables import Tables, missing
from features.engines.times import Unit, is_number, is_time, time_sql, unit_of
from features.errors import EventLogError

#: rows that are looked at; names and rhythm are counted over all of them later
LOOKED_AT = 2_000_000

#: events have at most so many names
MOST_NAMES = 2_000

_NAMES = {
    "user": r"(user|customer|client|member|player|account|visitor|person|household|distinct|profile|student|subscriber|"
            r"device|anonymous)(_?(id|key|no|num|number|code|uid))?|uid",
    "event": r"event(_?(name|type|kind))?|action|activity(_?type)?|verb|type|kind|operation",
    "time": r"(event_?)?(time|ts|timestamp|date|datetime)|(occurred|created|happened)(_?(at|on|time))?|"
            r"\w+_?(timestamp|date|datetime|time|at)",
    "arrived": r"(arrived|received|ingested|inserted|loaded|collected|uploaded)(_?(at|time|ts|on))?|"
               r"(server|arrival|collector|upload|load)_?(time|tstamp|timestamp|upload_time|at)",
    "id": r"(event|message|insert|hit|row)_?(id|uuid|key)|uuid|id",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Seen:
    """A column, as it was seen.

    Attributes:
        name: its name.
        dtype: its type, of DuckDB's.
        there: the share of rows with a value.
        distinct: about how many values it has.
        numbers: the share of values that are numbers.
        times: the share of values that are times as they are, or in ISO 8601.
        middle: the median of its numbers.
    """

    name: str
    dtype: str
    there: float
    distinct: int
    numbers: float
    times: float
    middle: float | None

    @property
    def unit(self) -> Unit | None:
        """The unit in which its numbers are times."""
        likely = self.numbers > 0.9 and self.middle is not None and not is_time(self.dtype)
        return unit_of(self.middle) if likely and self.middle is not None else None


@dataclass(frozen=True, slots=True)
class Guess:
    """What a column is for.

    Attributes:
        column: its name.
        why: a few words.
        sure: whether nothing else comes into question.
    """

    column: str
    why: str
    sure: bool


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns of a log that hold what a definition needs.

    Attributes:
        guesses: by ``user``, ``event``, ``time``, ``arrived`` and ``id``; the last two may be missing.
        seen: all columns.
        rows: how many rows were looked at.
        unit: of times that are numbers.
    """

    guesses: dict[str, Guess]
    seen: dict[str, Seen]
    rows: int
    unit: Unit | None

    def __getitem__(self, key: str) -> str:
        return self.guesses[key].column


def guess(connection: Connection, tables: Tables, paths: list[Path], given: dict[str, str]) -> Columns:
    """Guess what the columns are.

    Args:
        connection: a connection to which the tables are attached.
        tables: the log's files.
        paths: where they are, for errors.
        given: columns that are known, by what they are.

    Raises:
        EventLogError: no column can be the user, the event or the time; or a given one is not there.
    """
    seen, rows = _look(connection, tables, paths)
    for key, name in given.items():
        if name not in seen:
            raise EventLogError(f"--{key} {name}: there is no such column.", fix=f"there are {', '.join(seen)}")
    found = {key: Guess(name, "as you said", sure=True) for key, name in given.items()}
    for key in ("time", "user", "event", "arrived", "id"):
        if key not in found:
            left = [one for one in seen.values() if one.name not in {g.column for g in found.values()}]
            best = _best(key, left, rows)
            if best is not None:
                found[key] = best
    if "time" not in found:
        raise EventLogError("no column holds a time.", fix=_time_fix(connection, tables, paths, seen))
    for key, what in (("user", "who did it"), ("event", "what was done")):
        if key not in found:
            raise EventLogError(
                f"no column says {what}: there are {', '.join(seen)}.",
                fix=f"name it with --{key}, or make a log of an export of another tool with propensity import",
            )
    return Columns(found, seen, rows, seen[found["time"].column].unit)


def _look(connection: Connection, tables: Tables, paths: list[Path]) -> tuple[dict[str, Seen], int]:
    """Look at all columns at once."""
    some = f"(SELECT * FROM {tables.whole} LIMIT {LOOKED_AT})"
    parts = ["count(*)"]
    for name in tables.columns:
        column, text = quote(name), f"TRIM(CAST({quote(name)} AS VARCHAR))"
        there = f"{column} IS NOT NULL AND NOT {missing(text)}"
        number = f"TRY_CAST({text} AS DOUBLE)"
        parts += [f"count(*) FILTER ({there})", f"approx_count_distinct({column})",
                  f"count({number}) FILTER ({there})",
                  f"count({time_sql(text, 'VARCHAR', [], None, name)}) FILTER ({there})",
                  f"median({number}) FILTER (isfinite({number}))"]  # fmt: skip
    with reading(paths):
        [(rows, *found)] = rows_of(connection, f"SELECT {', '.join(parts)} FROM {some}")
    seen = {}
    for i, (name, dtype) in enumerate(tables.columns.items()):
        there, distinct, numbers, times, middle = found[5 * i : 5 * i + 5]
        of = max(there, 1)
        share = 1.0 if is_time(dtype) else times / of
        seen[name] = Seen(name, dtype, there / max(rows, 1), distinct, numbers / of, share, middle)
    return seen, rows


def _best(key: str, seen: Iterable[Seen], rows: int) -> Guess | None:
    """The column that is most likely what is asked for."""
    ranked = sorted(
        ((score, one, why) for one in seen for score, why in _scores(key, one, rows)), key=lambda found: -found[0]
    )
    if not ranked:
        return None
    score, one, why = ranked[0]
    others = [other.name for other_score, other, _ in ranked[1:] if other_score > score - 0.5]
    doubt = f"; it could also be {', '.join(others[:3])}" if others else ""
    return Guess(one.name, why + doubt, sure=not others)


def _scores(key: str, one: Seen, rows: int) -> Iterator[tuple[float, str]]:
    """How likely a column is what is asked for, where it can be."""
    named = re.fullmatch(_NAMES[key], _snake(one.name)) is not None
    words, text = "by its name", one.dtype == "VARCHAR"
    if key in ("time", "arrived"):
        fits = one.times > 0.9 or (one.unit is not None and named)
        if fits and one.there > 0.5 and (named or key == "time"):
            exact = re.fullmatch(r"(event_?)?(time|ts|timestamp)", _snake(one.name)) is not None
            arrival = key == "time" and re.fullmatch(_NAMES["arrived"], _snake(one.name)) is not None
            yield named + exact - arrival + one.there, words if named else "the only times"
    elif key == "user":
        several = 1 < one.distinct < 0.95 * rows
        if named and several and one.there > 0.3 and one.times < 0.5:
            plain = re.match(r"user|customer", _snake(one.name)) is not None
            yield 1 + plain + one.there, f"{words}; about {one.distinct:,} of them"
    elif key == "event":
        if named and text and one.distinct <= MOST_NAMES and one.there > 0.9 and one.times < 0.5:
            plain = _snake(one.name).startswith("event")
            yield 1 + plain, f"{words}; {one.distinct:,} names"
    elif named and one.there > 0.99 and one.distinct > 0.9 * rows:
        yield 1.0, f"{words}; nearly every row has one of its own"


def _time_fix(connection: Connection, tables: Tables, paths: list[Path], seen: dict[str, Seen]) -> str:
    """What to do where no time can be read."""
    for one in seen.values():
        if re.fullmatch(_NAMES["time"], _snake(one.name)) and one.dtype == "VARCHAR" and one.there > 0.5:
            return f"column {one.name}: {hint(connection, tables.whole, quote(one.name), paths)}; give --time-format"
    return f"name it with --time; there are {', '.join(seen)}"


def _snake(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()).strip("_")


def money(seen: Iterable[Seen]) -> list[Seen]:
    """The columns that can hold what an event was worth, the most likely first."""
    numbers = [one for one in seen if (is_number(one.dtype) or one.numbers > 0.9) and one.there > 0.001]
    found = []
    for words in ("revenue|gmv|sales|spend", "amount|total|paid", "value|price"):
        found += [one for one in numbers if one not in found and re.search(rf"(^|_)({words})(_|$)", _snake(one.name))]
    return found
