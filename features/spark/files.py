"""The log's files, opened by Spark."""

import os
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession

from features.definition.schema import Definition
from features.engines.files import KINDS, files_of, partitions_of, suffix_of
from features.expressions.dialects import written
from features.reading.columns import computed, mapped_columns, roots, typed_columns
from features.reading.places import resolve
from features.spark.expressions import quoted

_TYPES = {"tinyint": "TINYINT", "smallint": "SMALLINT", "int": "INTEGER", "bigint": "BIGINT", "float": "FLOAT",
          "double": "DOUBLE", "decimal": "DOUBLE", "boolean": "BOOLEAN", "date": "DATE",
          "timestamp": "TIMESTAMP WITH TIME ZONE", "timestamp_ntz": "TIMESTAMP"}  # fmt: skip


def duckdb_types(rows: DataFrame) -> dict[str, str]:
    """The columns of rows with DuckDB's types; what DuckDB has no name for is text."""
    return {name: _TYPES.get(dtype.split("(")[0], "VARCHAR") for name, dtype in rows.dtypes}


def paths_of(definition: Definition) -> list[str]:
    """The paths of the log, resolved; those of a store such as S3 as they are written."""
    path = definition.events.path
    named = [os.path.expandvars(p) for p in ([path] if isinstance(path, str) else path)]
    if any("://" in p and not p.startswith("file:") for p in named):
        return named
    return [str(file) for file in files_of(resolve(definition, path))]


def open_files(session: SparkSession, definition: Definition, paths: list[str]) -> DataFrame:
    """The rows of files; columns of CSV files are text, but for numbers where all values of a used column are."""
    rows = _opened(session, definition, paths)
    more = [
        f"{written(sql, 'spark')} AS {quoted(name)}"
        for name, sql in computed(mapped_columns(definition), rows.columns).items()
    ]
    return rows.selectExpr("*", *more) if more else rows


def _opened(session: SparkSession, definition: Definition, paths: list[str]) -> DataFrame:
    kind = KINDS.get(suffix_of(Path(paths[0])), "parquet")
    keys = partitions_of(Path(paths[0])) if "://" not in paths[0] else {}
    reader = session.read.option("mergeSchema", True)
    if keys:
        folders = Path(paths[0]).parts
        base = next(i for i, part in enumerate(folders) if "=" in part)
        reader = reader.option("basePath", str(Path(*folders[:base])))
    if kind == "csv":
        encoding = {"latin-1": "ISO-8859-1"}.get(definition.events.encoding, definition.events.encoding)
        separator = "\t" if suffix_of(Path(paths[0])) == "tsv" else ","
        return _typed(reader.options(header=True, sep=separator, encoding=encoding).csv(paths), definition)
    return reader.parquet(*paths)


def _typed(rows: DataFrame, definition: Definition) -> DataFrame:
    """Numbers where all values of a column that expressions use are; by one look at all files."""
    as_written = set(mapped_columns(definition).values())
    as_written = as_written.union(*map(roots, computed(mapped_columns(definition), rows.columns).values()))
    used = sorted((typed_columns(definition) - as_written) & set(rows.columns))
    if not used:
        return rows
    filled = [f"count(nullif(trim({quoted(n)}), ''))" for n in used]
    numbers = [f"count(try_cast(trim({quoted(n)}) AS DOUBLE))" for n in used]
    [found] = rows.selectExpr(*filled, *numbers).collect()
    for i, name in enumerate(used):
        if found[i] == found[len(used) + i]:
            rows = rows.withColumn(name, rows[name].try_cast("double"))
    return rows
