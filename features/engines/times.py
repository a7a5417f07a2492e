"""How a column becomes microseconds since 1970: ISO 8601 unless the definition states a format or a unit.

Nothing is guessed from the values: a text that can be read in two ways is not read, and the error names the formats
that would fit.
"""

from collections.abc import Iterator
from typing import Literal

from features.errors import EventLogError

Unit = Literal["s", "ms", "us", "ns"]

#: the word for ISO 8601 in a list of formats
ISO = "iso"

#: microseconds of a unit
MICROSECONDS: dict[str, float] = {"s": 1e6, "ms": 1e3, "us": 1.0, "ns": 1e-3}

_TIMES = ("TIMESTAMP", "DATE")
_NUMBERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT",
            "UHUGEINT", "DOUBLE", "FLOAT", "REAL", "DECIMAL")  # fmt: skip

#: texts that stand for nothing, in lower case
MISSING = ("", "nan", "nat", "null", "none", "n/a", "na", "\\n")

#: a year of fewer digits is not ISO 8601
YEAR_1000 = -30_610_224_000_000_000

#: a blank before the offset, and an offset without a colon
OFFSET = r"\s+([+-]\d{2}):?(\d{2})\s*$"


def is_number(dtype: str) -> bool:
    """Whether a type of DuckDB's is a number."""
    return dtype.startswith(_NUMBERS)


def is_time(dtype: str) -> bool:
    """Whether a type of DuckDB's says a time by itself."""
    return dtype.startswith(_TIMES)


def time_sql(quoted: str, dtype: str, formats: list[str], unit: Unit | None, key: str) -> str:
    """DuckDB's SQL that makes a column microseconds since 1970, null where it is none; without a zone it is UTC.

    Args:
        quoted: the column.
        dtype: its type.
        formats: strptime formats to try in order, `ISO` among them; ISO 8601 alone when empty.
        unit: of numbers.
        key: what names the column in the definition, for the error.

    Raises:
        EventLogError: the type does not say a time, and neither format nor unit are stated.
    """
    if is_time(dtype):
        return f"epoch_us(TRY_CAST({quoted} AS TIMESTAMPTZ))"
    text = f"CAST({quoted} AS VARCHAR)"
    if is_number(dtype) and unit is not None:
        return _number(quoted, unit)
    if is_number(dtype) and formats:
        return _texts(text, formats)
    if not dtype.startswith("VARCHAR"):
        raise EventLogError(
            f"{key} is column {quoted} of type {dtype}, which does not say a time.",
            fix="store it as TIMESTAMP, DATE or ISO text; for numbers say their unit, as in events.time_unit: s "
            "(s, ms, us, ns since 1970) or their format, as in events.time_format: '%Y%m%d'",
        )
    if formats:
        return _texts(quoted, formats)
    return f"COALESCE({_number(quoted, unit)}, {_iso(quoted)})" if unit is not None else _iso(quoted)


def _number(quoted: str, unit: Unit) -> str:
    number = f"TRY_CAST({quoted} AS DOUBLE) * {MICROSECONDS[unit]!r}"
    return f"(CASE WHEN abs({number}) < 9e18 THEN CAST(ROUND({number}) AS BIGINT) END)"


def _iso(quoted: str) -> str:
    # the second is looked at only where the first is null
    mended = rf"regexp_replace({quoted}, '{OFFSET}', '\1:\2')"
    found = f"epoch_us(COALESCE(TRY_CAST({quoted} AS TIMESTAMPTZ), TRY_CAST({mended} AS TIMESTAMPTZ)))"
    return f"NULLIF(GREATEST({found}, {YEAR_1000}), {YEAR_1000})"  # 01/02/26 is not a day of the year 1


def _texts(quoted: str, formats: list[str]) -> str:
    tried = [
        _iso(quoted)
        if written == ISO
        else f"epoch_us(CAST(try_strptime(TRIM({quoted}), {_text(written)}) AS TIMESTAMPTZ))"
        for written in formats
    ]
    return f"COALESCE({', '.join(tried)})" if len(tried) > 1 else tried[0]


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def candidates() -> Iterator[str]:
    """Formats that tools write, to be offered where a log's times cannot be read."""
    clocks = ("", " %H:%M", " %H:%M:%S", " %H:%M:%S.%f", " %I:%M %p", " %I:%M:%S %p", " %H:%M:%S %z", "T%H:%M:%S")
    for year in ("%Y", "%y"):
        for mark in "/.-":
            for days in (f"%m{mark}%d{mark}{year}", f"%d{mark}%m{mark}{year}"):
                for clock in clocks:
                    yield days + clock
    yield from ("%Y%m%d", "%Y%m%d%H%M%S", "%a, %d %b %Y %H:%M:%S %Z", "%d %b %Y %H:%M:%S", "%d %b %Y", "%b %d, %Y",
                "%b %d, %Y %H:%M:%S", "%b %d %Y %H:%M:%S", "%Y-%m-%d %I:%M:%S %p")  # fmt: skip


def unit_of(number: float) -> Unit | None:
    """The unit in which a number is a time between 1990 and 2100, or None."""
    units: tuple[Unit, ...] = ("s", "ms", "us", "ns")
    return next((unit for unit in units if 6.3e14 < number * MICROSECONDS[unit] < 4.1e15), None)


#: strptime's directives in the patterns of Java
_JAVA = {"Y": "yyyy", "y": "yy", "m": "M", "d": "d", "H": "H", "I": "h", "M": "m", "S": "s", "p": "a", "b": "MMM",
         "B": "MMMM", "a": "EEE", "A": "EEEE", "z": "[XXX][XX][X]", "Z": "z", "f": "SSSSSS", "j": "D"}  # fmt: skip


def java_pattern(written: str) -> str:
    """A strptime format as the pattern that Spark reads; numbers that touch have their full width.

    Raises:
        EventLogError: a directive has no such pattern.
    """
    out, at = "", 0
    while at < len(written):
        letter = written[at]
        if letter != "%":
            out += f"'{letter}'" if letter.isalpha() else letter
            at += 1
            continue
        directive = written[at + 1 : at + 2]
        if directive not in _JAVA:
            raise EventLogError(
                f"events.time_format: '%{directive}' is not known on Spark.", fix="use %Y %m %d %H %M %S %f %p %z"
            )
        pattern = _JAVA[directive]
        touches = written[at + 2 : at + 3] == "%" or (at >= 2 and written[at - 2] == "%")
        out += pattern * 2 if touches and len(pattern) == 1 and pattern not in "aDz" else pattern
        at += 2
    return out


def missing(sql: str) -> str:
    """SQL that says whether a text stands for nothing."""
    words = ", ".join(f"'{word}'" for word in MISSING)
    return f"lower(TRIM({sql})) IN ({words})"
