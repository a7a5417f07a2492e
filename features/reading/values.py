"""Which values a column of the log takes: DuckDB decides, so that messages and files are read by one parser."""

import json
import re
import threading

from features.engines import duckdb as engine

#: bits of whole-number columns, and whether they have a sign
_WHOLE = {"TINYINT": (8, True), "SMALLINT": (16, True), "INTEGER": (32, True), "BIGINT": (64, True),
          "HUGEINT": (128, True), "UTINYINT": (8, False), "USMALLINT": (16, False), "UINTEGER": (32, False),
          "UBIGINT": (64, False), "UHUGEINT": (128, False)}  # fmt: skip
_FLOAT = ("DOUBLE", "FLOAT", "REAL")

#: numbers that everybody reads alike, so that DuckDB need not be asked
_PLAIN = re.compile(r"-?(0|[1-9][0-9]{0,14})")
_PLAIN_FRACTION = re.compile(r"-?[0-9]{1,15}(\.[0-9]{1,15})?")


def text_of(value: object) -> str | None:
    """A value of a message as text; what is missing stays missing."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(value).lower()
    return json.dumps(value) if isinstance(value, (dict, list)) else str(value)


class ColumnValues:
    """Asks which texts the log's columns take."""

    def __init__(self) -> None:
        self._connection: engine.Connection | None = None
        self._one_at_a_time = threading.Lock()

    def takes(self, text: str, dtype: str) -> bool:
        """Whether a column holds a text as what it says: a number that is finite, and whole where the column is.

        Args:
            text: the value.
            dtype: DuckDB's type of the column.
        """
        if dtype in ("VARCHAR", "JSON"):
            return True
        if dtype in _WHOLE and _PLAIN.fullmatch(text):
            return _in_range(int(text), dtype)
        if dtype == "DOUBLE" and _PLAIN_FRACTION.fullmatch(text):
            return True
        read = f"TRY_CAST($1 AS {dtype})"
        readable = f"{read} IS NOT NULL"
        if dtype in _WHOLE:  # 1.5 would be 2
            readable += f" AND coalesce(TRY_CAST($1 AS DOUBLE) = CAST({read} AS DOUBLE), true)"
        elif dtype in _FLOAT or dtype.startswith(("TIMESTAMP", "DATE")):
            readable += f" AND isfinite({read})"
        return self._ask(readable, text)

    def takes_user(self, user: str, dtype: str) -> bool:
        """Whether the column of users holds an id so that it is read from there as the same id."""
        if dtype == "VARCHAR":
            return True
        if dtype in _WHOLE and _PLAIN.fullmatch(user) and user != "-0":
            return _in_range(int(user), dtype)
        kept = f"(SELECT TRY_CAST($1 AS {dtype}) AS kept)"
        read = f"(SELECT {engine.user_sql('kept', dtype)} FROM {kept})"  # noqa: S608 - the type is DuckDB's own
        return self._ask(f"{read} IS NOT DISTINCT FROM $1", user)

    def _ask(self, condition: str, text: str) -> bool:
        with self._one_at_a_time:
            if self._connection is None:
                self._connection = engine.open_connection()
            return self._connection.execute(f"SELECT {condition}", [text]).fetchall() == [(True,)]


def _in_range(number: int, dtype: str) -> bool:
    bits, signed = _WHOLE[dtype]
    return -(1 << (bits - 1)) <= number < 1 << (bits - 1) if signed else 0 <= number < 1 << bits
