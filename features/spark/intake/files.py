"""The log's files, opened by Spark."""

import gzip
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial, reduce
from pathlib import Path, PurePath
from typing import Any

from py4j.protocol import Py4JError
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession

from features.definition.schema import Definition
from features.engines.files import (
    KINDS,
    chosen,
    files_of,
    fixed_part,
    kind_of,
    of_one_layout,
    partitions_of,
    suffix_of,
)
from features.errors import EventLogError, SparkError
from features.expressions.dialects import written
from features.expressions.expression import Expression
from features.reading.columns import computed, is_expression, mapped_columns, roots, typed_columns
from features.reading.places import name_in, resolve
from features.spark.errors import in_words
from features.spark.executors import PLACE
from features.spark.intake.expressions import quoted

_NUMBERS = ("tinyint", "smallint", "int", "bigint", "float", "double", "decimal")

_TYPES = {"tinyint": "TINYINT", "smallint": "SMALLINT", "int": "INTEGER", "bigint": "BIGINT", "float": "FLOAT",
          "double": "DOUBLE", "decimal": "DOUBLE", "boolean": "BOOLEAN", "date": "DATE",
          "timestamp": "TIMESTAMP WITH TIME ZONE", "timestamp_ntz": "TIMESTAMP"}  # fmt: skip


def duckdb_types(columns: Mapping[str, str]) -> dict[str, str]:
    """Columns with DuckDB's types for Spark's; what DuckDB has no name for is text."""
    return {name: _TYPES.get(dtype.split("(")[0], "VARCHAR") for name, dtype in columns.items()}


@dataclass(frozen=True, slots=True)
class LogFile:
    """A file of the log.

    Attributes:
        address: what Spark calls it.
        size: in bytes.
        changed: when its content was changed last, in nanoseconds since 1970.
        path: where it is on this machine's disk; None where it is in a store.
    """

    address: str
    size: int
    changed: int
    path: Path | None = None

    @classmethod
    def of(cls, address: str, path: Path) -> "LogFile":
        """A file on this machine's disk."""
        about = path.stat()
        return cls(address, about.st_size, about.st_mtime_ns, path)


def files_in(session: SparkSession, definition: Definition) -> dict[str, LogFile]:
    """The files of the log by name; the same path names the same files as locally, also in a store.

    Files of a disk are called as they are seen from the definition's folder, so that both can be moved.

    Raises:
        EventLogError: there is none, or they are not of one layout or kind.
    """
    path = definition.events.path
    written = [path] if isinstance(path, str) else path
    found: dict[str, LogFile] = {}
    for each in written:
        address = os.path.expandvars(each)
        if "://" in address and not address.startswith("file:"):
            found |= _in_store(session, address)
        else:
            on_disk = files_of(resolve(definition, each))
            found |= {name_in(definition, file): LogFile.of(f"file://{file}", file) for file in on_disk}
    files = [file.address for file in found.values()]
    of_one_layout([PurePath(file) for file in files], written)
    kind = kind_of([PurePath(file) for file in files])
    if kind == "duckdb":
        raise EventLogError(
            f"{files[0]} is a DuckDB file, which Spark does not read.",
            fix="write its table as Parquet, or unset PROPENSITY_ENGINE",
        )
    for file in files:
        # Hadoop takes what is before a colon for the scheme of an address
        if ":" in file.partition("://")[2]:
            raise EventLogError(f"{file} has a colon in its name, which Spark cannot read.", fix="rename it")
    with_rows = {name: file for name, file in found.items() if file.size or kind != "csv"}
    if not with_rows:
        raise EventLogError(f"{files[0]} is empty.", fix="write a line with the names of its columns, or take it away")
    return with_rows


def _in_store(session: SparkSession, address: str) -> dict[str, LogFile]:
    """The files of a store such as S3 that an address or a pattern names."""
    scheme, _, rest = address.partition("://")
    path = PurePath(rest)
    with in_words(address):
        jvm, context = session.sparkContext._jvm, session.sparkContext._jsc
        if jvm is None:
            raise SparkError("the Java of Spark has ended.", fix="run the command again")

        def place(of: PurePath) -> Any:
            return jvm.org.apache.hadoop.fs.Path(f"{scheme}://{of}")

        system = place(fixed_part(path)).getFileSystem(context.hadoopConfiguration())
        root = path if system.exists(place(path)) else fixed_part(path)  # a name may hold a bracket
        if not system.exists(place(root)):
            return {}
        found, listed = system.listFiles(place(root), True), {}
        while found.hasNext():
            one = found.next()
            # a path of Hadoop's, not an address: nothing in it is escaped
            file = PurePath(one.getPath().toString().partition("://")[2])
            listed[file] = LogFile(f"{scheme}://{file}", int(one.getLen()), int(one.getModificationTime()) * 1_000_000)
    return {f"{scheme}://{file}": listed[file] for file in chosen(root, path.parts[len(root.parts) :], listed)}


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
        alike.setdefault((_base(path), _header(session, path) if _is_csv(path) else None), []).append(path)
    frames = [
        frame
        for (base, _), some in alike.items()
        for frame in _read(session, definition, some, None if base is None else str(base))
    ]
    rows = reduce(partial(DataFrame.unionByName, allowMissingColumns=True), _of_one_type(frames))
    return _typed(rows, definition, known) if _is_csv(paths[0]) else rows


def _header(session: SparkSession, path: str) -> str:
    """The first line of a CSV file, by which files of other columns, or in another order, are told apart."""
    file = path.removeprefix("file://")
    if file != path:
        with gzip.open(file) if file.endswith(".gz") else Path(file).open("rb") as opened:
            return opened.readline().strip().hex()
    with in_words(path):
        line = session.read.option("__globPaths__", False).text(path).first()
    return line["value"].strip().encode().hex() if line is not None else ""


def _of_one_type(frames: list[DataFrame]) -> list[DataFrame]:
    """Frames whose columns of numbers are of one type, where types of a column differ.

    Raises:
        EventLogError: one holds text where another one holds numbers or times.
    """
    types: dict[str, set[str]] = {}
    for frame in frames:
        for name, dtype in frame.dtypes:
            types.setdefault(name, set()).add(dtype)
    casts: dict[str, str] = {}
    for name, found in types.items():
        found.discard("void")
        kinds = {_kind(dtype) for dtype in found}
        if len(kinds) > 1:
            raise EventLogError(
                f"column {name!r} holds {' in some files and '.join(sorted(kinds))} in others.",
                fix="write the files again with one type for each column",
            )
        if len(found) > 1 and kinds == {"numbers"}:
            casts[name] = "bigint" if all(dtype.endswith("int") for dtype in found) else "double"
    return [
        frame.withColumns({n: frame[quoted(n)].cast(to) for n, to in casts.items() if n in frame.columns})
        for frame in frames
    ]


def _kind(dtype: str) -> str:
    """What values of a type of Spark's are, for people."""
    if dtype.startswith(_NUMBERS):
        return "numbers"
    if dtype.startswith(("timestamp", "date")):
        return "times"
    return {"string": "text", "boolean": "true or false"}.get(dtype, dtype)


def _base(path: str) -> str | None:
    """The folder in which a file's partitions lie; None where there are none."""
    keys = partitions_of(PurePath(path))
    if not keys:
        return None
    first = f"/{next(iter(keys))}="
    return path[: path.index(first)]


def _is_csv(path: str) -> bool:
    return KINDS.get(suffix_of(PurePath(path))) == "csv"


def _read(session: SparkSession, definition: Definition, paths: list[str], base: str | None) -> list[DataFrame]:
    """The rows of files of one kind; several frames where types of their columns differ."""
    # files are named one by one: a bracket in a name is no pattern
    reader = session.read.options(mergeSchema=True, __globPaths__=False)
    if base is not None:
        reader = reader.option("basePath", base)
    if not _is_csv(paths[0]):
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
