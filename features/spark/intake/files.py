"""The files of a log, on a disk or in a store, as Spark names them."""

import os
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from pyspark.sql import SparkSession

from features.definition.schema import Definition
from features.engines.files import KINDS, chosen, files_of, fixed_part, kind_of, of_one_layout, suffix_of
from features.errors import EventLogError, SparkError
from features.reading.places import name_in, resolve
from features.spark.errors import in_words


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


def is_csv(name: str) -> bool:
    """Whether a file is text, by its name."""
    return KINDS.get(suffix_of(PurePath(name))) == "csv"
