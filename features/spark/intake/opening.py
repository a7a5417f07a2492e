"""The log's files as rows of Spark, by the names of their columns."""

import gzip
from collections.abc import Mapping
from functools import partial, reduce
from pathlib import Path, PurePath

from py4j.protocol import Py4JError
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession

from features.definition.schema import Definition
from features.engines.files import (
    partitions_of,
    suffix_of,
)
from features.expressions.dialects import written
from features.expressions.expression import Expression
from features.reading.columns import computed, is_expression, mapped_columns, roots, typed_columns, used_columns
from features.spark.errors import in_words
from features.spark.executors import PLACE
from features.spark.intake.column_types import check_known, of_one_type
from features.spark.intake.expressions import quoted
from features.spark.intake.files import is_csv


def open_files(session: SparkSession, definition: Definition, paths: list[str], known: Mapping[str, str]) -> DataFrame:
    """The rows of files, and `PLACE`.

    Columns of CSV files are text, but for numbers where all values of a used column are.

    Args:
        session: the connection.
        definition: the definition.
        paths: the files.
        known: Spark's types of the columns that files of the log are known to have; none before the first.
    """
    rows = _opened(session, definition, paths, known)
    if not is_csv(paths[0]):  # what columns of text hold, all files decide
        check_known(known, dict(rows.dtypes), used_columns(definition))
    mapped, names = mapped_columns(definition), definition.events.columns
    made_before = {name for name in mapped.values() if is_expression(Expression(name))}
    never = {names.user, names.event, names.time} | made_before  # the first three every file must have
    lost = [name for name in known if name not in rows.columns and name not in never]
    rows = rows.selectExpr("*", *(f"CAST(NULL AS {known[name]}) AS {quoted(name)}" for name in lost))
    made = computed(mapped, [name for name in rows.columns if name != PLACE])
    return rows.selectExpr("*", *(f"{written(sql, 'spark')} AS {quoted(name)}" for name, sql in made.items()))


def columns_of(rows: DataFrame) -> dict[str, str]:
    """The log's own columns of rows that were opened, with Spark's types."""
    return {name: dtype for name, dtype in rows.dtypes if name != PLACE}


def _opened(session: SparkSession, definition: Definition, paths: list[str], known: Mapping[str, str]) -> DataFrame:
    """The columns of files and of the folders they lie in, from below each folder that is no partition itself."""
    alike: dict[tuple[object, ...], list[str]] = {}
    for path in paths:
        alike.setdefault((_base(path), _header(session, path) if is_csv(path) else None), []).append(path)
    frames = [
        frame
        for (base, _), some in alike.items()
        for frame in _read(session, definition, some, None if base is None else str(base))
    ]
    rows = reduce(
        partial(DataFrame.unionByName, allowMissingColumns=True), of_one_type(frames, used_columns(definition))
    )
    return _typed(rows, definition, known) if is_csv(paths[0]) else rows


def _header(session: SparkSession, path: str) -> str:
    """The first line of a CSV file, which is the same in files of the same columns in the same order."""
    file = path.removeprefix("file://")
    if file != path:
        with gzip.open(file) if file.endswith(".gz") else Path(file).open("rb") as opened:
            return opened.readline().strip().hex()
    with in_words(path):
        line = session.read.option("__globPaths__", False).text(path).first()
    return line["value"].strip().encode().hex() if line is not None else ""


def _base(path: str) -> str | None:
    """The folder in which a file's partitions lie; None where there are none."""
    keys = partitions_of(PurePath(path))
    if not keys:
        return None
    first = f"/{next(iter(keys))}="
    return path[: path.index(first)]


def _read(session: SparkSession, definition: Definition, paths: list[str], base: str | None) -> list[DataFrame]:
    """The rows of files of one kind; several frames where types of their columns differ."""
    # files are named one by one: a bracket in a name is no pattern
    reader = session.read.options(mergeSchema=True, __globPaths__=False)
    if base is not None:
        reader = reader.option("basePath", base)
    if not is_csv(paths[0]):
        place = f"_metadata.row_index AS {PLACE}"
        try:
            return [reader.parquet(*paths).selectExpr("*", place)]
        except (PySparkException, Py4JError) as error:
            if "MERGE_SCHEMA" not in str(error) and "Failed merging schema" not in str(error):
                raise
        by_types: dict[tuple[tuple[str, str], ...], list[str]] = {}
        for path in paths:
            by_types.setdefault(tuple(reader.parquet(path).dtypes), []).append(path)
        return [reader.parquet(*some).selectExpr("*", place) for some in by_types.values()]
    encoding = {"latin-1": "ISO-8859-1"}.get(definition.events.encoding, definition.events.encoding)
    separator = "\t" if suffix_of(PurePath(paths[0])) == "tsv" else ","
    # as DuckDB reads them: a quote is written twice, and a quoted line break is part of a value
    reader = reader.options(header=True, sep=separator, encoding=encoding, escape='"', multiLine=True)
    # such a file is read by one task, in its order
    return [reader.csv(paths).selectExpr("*", f"monotonically_increasing_id() & {(1 << 33) - 1} AS {PLACE}")]


def _typed(rows: DataFrame, definition: Definition, known: Mapping[str, str]) -> DataFrame:
    """Numbers where all values of a column that expressions use are, and that is not known as text; by one look."""
    as_written = set(mapped_columns(definition).values())
    as_written = as_written.union(*map(roots, computed(mapped_columns(definition), rows.columns).values()))
    texts = {name for name, dtype in known.items() if dtype == "string"}
    used = sorted((typed_columns(definition) - as_written - texts) & set(rows.columns))
    if not used:
        return rows
    filled = [f"count(nullif(trim({quoted(n)}), ''))" for n in used]
    numbers = [f"count(try_cast(trim({quoted(n)}) AS DOUBLE))" for n in used]
    [found] = rows.selectExpr(*filled, *numbers).collect()
    for i, name in enumerate(used):
        if found[i] == found[len(used) + i]:
            rows = rows.withColumn(name, rows[name].try_cast("double"))
    return rows
