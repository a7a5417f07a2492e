"""The columns of a table as they were seen: types, how full they are, and whether they are numbers or times."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from features.engines.duckdb import Connection, quote, reading, rows_of
from features.engines.tables import Tables
from features.engines.times import Unit, is_number, is_time, missing, time_sql, unit_of
from features.proposal.amounts import ASKED, Writing, asked, written

#: rows that are looked at; names and rhythm are counted over all of them later
LOOKED_AT = 2_000_000

#: numbers beside money that are looked at, so that a log of a thousand columns is described, too
MOST_NUMBERS = 20

#: names of numbers that tell things apart, and add up to nothing
_NO_AMOUNT = (
    r"(^|_)(id|ids|key|code|uuid|no|num|number|index|zip|postcode|phone|category|lat|lon|latitude|longitude|"
    r"year|month|day|hour|week|version)(_|$)"
)


#: names of money, the most telling first; German, French, Spanish, Italian, Portuguese and Dutch, too
_MONEY = (
    "revenue|gmv|sales|spend|umsatz|ingresos",
    "amount|total|paid|betrag|montant|importe|importo|bedrag",
    "value|price|preis|prix|precio|prezzo|valor|prijs",
)


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
        writing: how its numbers are written, where it is not as programs write them.
    """

    name: str
    dtype: str
    there: float
    distinct: int
    numbers: float
    times: float
    middle: float | None
    writing: Writing | None = None

    @property
    def number(self) -> str:
        """SQL of its numbers, null where a value is none."""
        column = f"CAST({quote(self.name)} AS VARCHAR)"
        return f"TRY_CAST({column} AS DOUBLE)" if self.writing is None else self.writing.sql(column)

    @property
    def unit(self) -> Unit | None:
        """The unit in which its numbers are times."""
        likely = self.numbers > 0.9 and self.middle is not None and not is_time(self.dtype)
        return unit_of(self.middle) if likely and self.middle is not None else None


def look(connection: Connection, tables: Tables, paths: list[Path]) -> tuple[dict[str, Seen], int]:
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
                  f"median({number}) FILTER (isfinite({number}))",
                  *asked(f"CASE WHEN {there} THEN {text} END")]  # fmt: skip
    with reading(paths):
        [(rows, *found)] = rows_of(connection, f"SELECT {', '.join(parts)} FROM {some}")
    seen, per = {}, 5 + ASKED
    for i, (name, dtype) in enumerate(tables.columns.items()):
        there, distinct, numbers, times, middle, *answers = found[per * i : per * (i + 1)]
        of = max(there, 1)
        share = 1.0 if is_time(dtype) else times / of
        writing, fit = written(answers, there, numbers) or (None, numbers / of)
        seen[name] = Seen(name, dtype, there / max(rows, 1), distinct, fit, share, middle, writing)
    return seen, rows


def snake(name: str) -> str:
    """A name in small letters and underscores."""
    return re.sub(r"[^a-z0-9]+", "_", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()).strip("_")


def money(seen: Iterable[Seen]) -> list[Seen]:
    """The columns that can hold what an event was worth, the most likely first."""
    numbers = [one for one in seen if (is_number(one.dtype) or one.numbers > 0.9) and one.there > 0.001]
    found = []
    for words in _MONEY:
        found += [one for one in numbers if one not in found and re.search(rf"(^|_)({words})(_|$)", snake(one.name))]
    return found


def numbers(seen: Iterable[Seen], columns: Iterable[str]) -> list[Seen]:
    """The columns that can be added up: money first, then others that are no ids, keys or times.

    Args:
        seen: all columns.
        columns: those that are something else.
    """
    every = [one for one in seen if one.name not in set(columns)]
    found = money(every)
    for one in every:
        number = (is_number(one.dtype) or one.numbers > 0.9) and one.unit is None and one.distinct > 2
        if number and one not in found and len(found) < MOST_NUMBERS and not re.search(_NO_AMOUNT, snake(one.name)):
            found.append(one)
    return found
