"""What is inside of an exported file: archives are unpacked, lines and tables are named as relations."""

import fnmatch
import gzip
import re
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from glob import has_magic
from pathlib import Path

import pyarrow as pa

from features.engines.duckdb import Connection, quote, reading, text
from features.errors import EventLogError
from features.imports.importer import Importer

#: how the names of exported files end
ENDS = (".json", ".jsonl", ".ndjson", ".csv", ".tsv", ".parquet", ".pq", ".gz", ".zst", ".zip", ".tar", ".tgz")
_ZIPPED, _TARRED = (".zip",), (".tar", ".tar.gz", ".tgz")

#: a line of JSON may have so many bytes
_LONGEST = 64 * 2**20


@dataclass(frozen=True, slots=True)
class Relation:
    """Rows of a file.

    Attributes:
        sql: what to select from; of JSON the columns ``row``, null where it is none, and ``broken``, what it is then.
        types: the columns of a table with their types; empty for JSON.
    """

    sql: str
    types: dict[str, str]


def members(file: Path, scratch: Path, importer: Importer) -> Iterator[Path]:
    """The files to read: the file itself, or what is in it.

    Raises:
        EventLogError: the archive is damaged, or holds nothing to read.
    """
    name = file.name.lower()
    if not name.endswith((*_ZIPPED, *_TARRED)):
        yield file
        return
    try:
        if name.endswith(_ZIPPED):
            with zipfile.ZipFile(file) as archive:
                archive.extractall(scratch)  # noqa: S202 - zipfile keeps members inside of the folder
        else:
            with tarfile.open(file) as archive:
                archive.extractall(scratch, filter="data")
    except (OSError, EOFError, zipfile.BadZipFile, tarfile.TarError) as error:
        raise EventLogError(f"{file} cannot be unpacked: {error}.", fix="export or copy it again") from error
    inside = [path for path in sorted(scratch.rglob("*")) if path.is_file() and _is_data(path, importer)]
    if not inside:
        raise EventLogError(f"{file} holds no file that the importer reads.", fix="check what was exported")
    yield from inside


def _is_data(member: Path, importer: Importer) -> bool:
    """Whether a member of an archive is to be read: what begins with a dot or two underscores is bookkeeping."""
    hidden = any(part.startswith((".", "__")) for part in (member.name, member.parent.name))
    return (
        not hidden
        and member.name != importer.headers
        and _fits(member.name, importer.only)
        and not skipped(member, importer)
    )


def _fits(name: str, patterns: list[str]) -> bool:
    return not patterns or any(fnmatch.fnmatch(name, pattern) for pattern in patterns)


def skipped(file: Path, importer: Importer) -> bool:
    """Whether an importer passes over a file of this name."""
    return bool(importer.skip) and _fits(file.name, importer.skip)


def relation(connection: Connection, file: Path, importer: Importer, scratch: Path) -> Relation:
    """The rows of a file.

    Raises:
        EventLogError: it cannot be read.
    """
    name = file.name.lower().removesuffix(".gz").removesuffix(".zst")
    place = text(str(_literal(file, scratch)))
    if ".parquet" in name or name.endswith(".pq"):
        return _table(connection, file, f"read_parquet({place}, hive_partitioning = false)")
    if name.endswith((".csv", ".tsv")):
        return _table(connection, file, f"read_csv({place}, {_csv(file, name, importer)})")
    if _first_byte(file) == b"[":
        objects = f"read_json_objects({place}, format = 'array')"
        return Relation(f"(SELECT json AS row, NULL::VARCHAR AS broken FROM {objects})", {})
    lines = (
        f"read_csv({place}, columns = {{'row': 'VARCHAR'}}, header = false, auto_detect = false, "
        f"delim = chr(1), quote = '', escape = '', max_line_size = {_LONGEST})"
    )
    good = "CASE WHEN json_valid(row) THEN row END AS row, CASE WHEN NOT json_valid(row) THEN row END AS broken"
    return Relation(f"(SELECT {good} FROM {lines} WHERE TRIM(row) <> '')", {})


def _literal(file: Path, scratch: Path) -> Path:
    """A path of a file in which DuckDB sees no pattern: the file's own, or that of a link to it."""
    if not has_magic(str(file)):
        return file
    link = scratch / f"{len(list(scratch.iterdir()))}-{re.sub(r'[^A-Za-z0-9._-]', '-', file.name)}"
    link.symlink_to(file.resolve())
    return link


def _csv(file: Path, name: str, importer: Importer) -> str:
    options = f"all_varchar = true, null_padding = true, encoding = {text(importer.encoding)}"
    if importer.headers is not None:
        names = _header(file.parent / importer.headers)
        listed = ", ".join(text(name) for name in names)
        return f"{options}, header = false, names = [{listed}], delim = '\t', quote = '', escape = ''"
    return f"{options}, header = true" + (", delim = '\t'" if name.endswith(".tsv") else "")


def _header(file: Path) -> list[str]:
    if not file.is_file():
        raise EventLogError(f"{file.name} is not in the archive.", fix="export it with the lookup files")
    return file.read_text(encoding="utf-8").strip("\r\n").split("\t")


def _table(connection: Connection, file: Path, sql: str) -> Relation:
    with reading([file]):
        described = connection.execute(f"DESCRIBE SELECT * FROM {sql}").fetchall()
    types = {row[0].lstrip("\ufeff"): row[1] for row in described}
    bare = [f"{quote(row[0])} AS {quote(row[0].lstrip(chr(0xFEFF)))}" for row in described]
    return Relation(f"(SELECT {', '.join(bare)} FROM {sql})", types)


def _first_byte(file: Path) -> bytes:
    """The first byte that is not blank."""
    try:
        if file.name.lower().endswith(".zst"):
            with pa.input_stream(str(file), compression="zstd") as content:
                head = bytes(content.read(4_096))
        else:
            with (gzip.open if file.name.lower().endswith(".gz") else open)(file, "rb") as content:
                head = content.read(4_096)
    except (OSError, EOFError, pa.ArrowException) as error:
        raise EventLogError(f"{file} cannot be read: {error}.", fix="export or copy it again") from error
    return head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
