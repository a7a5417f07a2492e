"""How CSV files are parsed, and of which types their columns are, for all of them alike."""

from collections.abc import Collection
from pathlib import Path

from features.engines.duckdb import Connection, quote, reading, rows_of, text
from features.engines.files import suffix_of
from features.engines.times import missing


def dialect(connection: Connection, files: list[Path], encoding: str) -> str:
    """How the first file that holds something is parsed, and so all of them."""
    first = next((file for file in files if file.stat().st_size), files[0])
    options = f", header = true, all_varchar = true, encoding = {text(encoding)}"
    if suffix_of(first) == "tsv":
        return options + ", delim = '\t'"
    with reading([first]):
        [(delim, quoted, escape)] = connection.execute(
            f"SELECT Delimiter, Quote, Escape FROM sniff_csv({text(str(first))}, header = true, all_varchar = true, "
            f"encoding = {text(encoding)})"
        ).fetchall()
    if not first.stat().st_size or delim == "(empty)":
        return options
    quoted = '"' if quoted == "(empty)" else quoted  # a later file may quote what the first did not need to
    escape = quoted if escape == "(empty)" else escape
    return f"{options}, delim = {text(delim)}, quote = {text(quoted)}, escape = {text(escape)}"


def decide(
    connection: Connection, source: str, asked: list[str], numbers: Collection[str]
) -> tuple[dict[str, str], dict[str, str], dict[str, str]]:
    """The types of columns by all their values; those that hold any; and of each a value that is not a number.

    Args:
        connection: a connection.
        source: SQL of the rows, all of whose columns are text.
        asked: the columns; nothing is read when there is none.
        numbers: those of them whose values are added up.
    """
    if not asked:
        return {}, {}, {}
    parts = []
    for name in asked:
        column = f"TRIM({quote(name)})"
        there = f"FILTER ({column} IS NOT NULL AND NOT {missing(column)})"
        number = f"(TRY_CAST({column} AS DOUBLE) IS NOT NULL)"
        # leading zeros, and what a number would round, are written for a reason
        exact = rf"(NOT regexp_matches({column}, '^[+-]?0\d') AND abs(TRY_CAST({column} AS DOUBLE)) < 9007199254740992)"
        parts += [
            f"count(*) {there}",
            f"count(*) FILTER ({number} AND NOT {missing(column)})",
            f"count(*) FILTER ({number} AND {exact} AND NOT {missing(column)})",
            f"count(*) FILTER (lower({column}) IN ('true', 'false'))",
            f"count(TRY_CAST({column} AS TIMESTAMP))",
            f"any_value({column}) FILTER (NOT {number} AND NOT {missing(column)})",
        ]
    [found] = rows_of(connection, f"SELECT {', '.join(parts)} FROM {source}")
    types: dict[str, str] = {}
    decided: dict[str, str] = {}
    written: dict[str, str] = {}
    for i, name in enumerate(asked):
        values, parsed, exact_ones, booleans, times, other = found[6 * i : 6 * i + 6]
        types[name] = _type(values, parsed, exact_ones, booleans, times, added_up=name in numbers)
        if values:
            decided[name] = types[name]
        if other is not None:
            written[name] = other
    return types, decided, written


def _type(values: int, parsed: int, exact: int, booleans: int, times: int, *, added_up: bool) -> str:
    if not values:
        return "DOUBLE" if added_up else "VARCHAR"
    if added_up and 2 * parsed > values:  # what is not a number is counted, and above a share refused
        return "DOUBLE"
    if exact == values:
        return "DOUBLE"
    if booleans == values:
        return "BOOLEAN"
    return "TIMESTAMP" if times == values else "VARCHAR"
