"""Types of the log's columns: as DuckDB calls them, and where files differ."""

from collections.abc import Collection, Mapping

from pyspark.sql import DataFrame

from features.errors import EventLogError
from features.spark.intake.expressions import quoted

_NUMBERS = ("tinyint", "smallint", "int", "bigint", "float", "double", "decimal")

_TYPES = {"tinyint": "TINYINT", "smallint": "SMALLINT", "int": "INTEGER", "bigint": "BIGINT", "float": "FLOAT",
          "double": "DOUBLE", "decimal": "DOUBLE", "boolean": "BOOLEAN", "date": "DATE",
          "timestamp": "TIMESTAMP WITH TIME ZONE", "timestamp_ntz": "TIMESTAMP"}  # fmt: skip


def duckdb_types(columns: Mapping[str, str]) -> dict[str, str]:
    """Columns with DuckDB's types for Spark's; what DuckDB has no name for is text."""
    return {name: _TYPES.get(dtype.split("(")[0], "VARCHAR") for name, dtype in columns.items()}


def of_one_type(frames: list[DataFrame], used: Collection[str]) -> list[DataFrame]:
    """Frames whose columns are of one type each: numbers become wider ones, and others are left out.

    Args:
        frames: rows of files.
        used: the columns that are used.

    Raises:
        EventLogError: one of these is text in some files, and numbers or times in others.
    """
    types: dict[str, set[str]] = {}
    for frame in frames:
        for name, dtype in frame.dtypes:
            types.setdefault(name, set()).add(dtype)
    casts, mixed = dict[str, str](), list[str]()
    for name, found in types.items():
        found.discard("void")
        kinds = {_kind(dtype) for dtype in found}
        if len(kinds) > 1 and name not in used:
            mixed.append(name)
        elif len(kinds) > 1:
            raise _differing(name, kinds)
        elif len(found) > 1 and kinds == {"numbers"}:
            casts[name] = "bigint" if all(dtype.endswith("int") for dtype in found) else "double"
    return [
        frame.drop(*mixed).withColumns({n: frame[quoted(n)].cast(to) for n, to in casts.items() if n in frame.columns})
        for frame in frames
    ]


def check_known(known: Mapping[str, str], found: Mapping[str, str], used: Collection[str]) -> None:
    """Check that new files agree with the earlier ones on columns that are used.

    Args:
        known: Spark's types of columns of earlier files.
        found: of new ones.
        used: the columns that are used.

    Raises:
        EventLogError: one is text here, and numbers or times there.
    """
    for name, dtype in found.items():
        kinds = {_kind(one) for one in (dtype, known.get(name, dtype)) if one != "void"}
        if name in used and len(kinds) > 1:
            raise _differing(name, kinds)


def _differing(name: str, kinds: Collection[str]) -> EventLogError:
    return EventLogError(
        f"column {name!r} holds {' in some files and '.join(sorted(kinds))} in others.",
        fix="write the files again with one type for each column",
    )


def _kind(dtype: str) -> str:
    """What values of a type of Spark's are, for people."""
    if dtype.startswith(_NUMBERS):
        return "numbers"
    if dtype.startswith(("timestamp", "date")):
        return "times"
    return {"string": "text", "boolean": "true or false"}.get(dtype, dtype)
