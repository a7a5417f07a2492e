"""Files at a source: those of a bucket or of a folder, each made into one file of the log."""

import fnmatch
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from features.definition.sections.log.sources import FilesSource
from features.engines.files import partitions_of
from features.errors import EventLogError
from features.imports.archives import ENDS, skipped
from features.imports.convert import convert
from features.imports.importer import Importer
from features.sources.answers import answering, expanded, without_secrets
from features.sources.parts import BATCH, Fetched, Parts
from features.system.progress import Steps


@dataclass(frozen=True, slots=True)
class Remote:
    """A file at a source.

    Attributes:
        of: its name there.
        content: tells whether it has changed; not empty.
        rows: opens its rows, of the columns that are needed.
        mapped: whether they have the log's columns already.
    """

    of: str
    content: str
    rows: Callable[[], pa.RecordBatchReader]
    mapped: bool = False


def follow(parts: Parts, there: list[Remote], steps: Steps, *, keep: bool) -> Fetched:
    """Make one file of each remote one that is new or has changed.

    Args:
        parts: what was fetched.
        there: the remote files.
        steps: shows progress.
        keep: whether what was made of files that are gone stays.
    """
    new = [one for one in there if not parts.is_current(one.of, one.content)]
    rows = 0
    with steps(f"fetch {parts.source}", len(new)) as advance:
        for one in new:
            rows += parts.write(one.rows(), one.of, one.content, mapped=one.mapped)
            advance(1)
    named, digest = {one.of for one in there}, parts.mapping.digest
    gone = [path for path, marks in parts.marks.items() if marks.of not in named]
    gone = [path for path in gone if not keep or parts.marks[path].mapping != digest]
    for path in gone:
        parts.remove(path)
    return Fetched(parts.source, rows, removed=len(gone))


class Bucket:
    """Files in a bucket, or on this machine.

    Args:
        source: says which.
        folder: where relative paths start.
        parts: what was fetched of them.

    Raises:
        EventLogError: the address cannot be understood.
    """

    def __init__(self, source: FilesSource, folder: Path, parts: Parts) -> None:
        self._parts, self._importer = parts, parts.mapping.importer
        self._url = expanded(source.url)
        try:
            if "://" in self._url:
                self._files, self._path = pafs.FileSystem.from_uri(self._url)
            else:
                self._files, self._path = pafs.LocalFileSystem(), str((folder / self._url).absolute())
                self._check_apart()
        except (pa.ArrowException, OSError, ValueError) as error:
            raise EventLogError(
                f"{parts.mapping.place}.url cannot be used: {without_secrets(str(error), self._url)}.",
                fix="write s3://bucket/folder, gs://bucket/folder, abfs://container/folder or a path",
            ) from None

    def fetch(self, steps: Steps) -> Fetched:
        """Fetch what is new or has changed; what was made of files that are gone stays, as with files of a log.

        Raises:
            EventLogError: there is no file, or one cannot be read.
            UnavailableError: the bucket does not answer.
        """
        with self._answers():
            there = list(self._there())
        if not there:
            kinds = "exported files" if self._importer is not None else "Parquet files"
            raise EventLogError(
                f"{self._parts.mapping.place}: there are no {kinds} at the address.",
                fix="check the address; files of other kinds are read by an importer, as in like: segment",
            )
        with TemporaryDirectory(dir=self._parts.folder, prefix=".fetching-") as scratch:
            remote = [self._remote(info, Path(scratch)) for info in there]
            return follow(self._parts, remote, steps, keep=True)

    def _check_apart(self) -> None:
        """Refuse a folder that holds the log's own: each fetch would fetch what the one before has made.

        Raises:
            EventLogError: it does.
        """
        if self._parts.folder.resolve().is_relative_to(Path(self._base).resolve()):
            raise EventLogError(
                f"{self._parts.mapping.place}.url holds the folder events.path, into which it is fetched.",
                fix="name folders beside each other",
            )

    @property
    def _base(self) -> str:
        """The part of the path that is no pattern."""
        parts = PurePosixPath(self._path).parts
        return str(PurePosixPath(*parts[: self._fixed]))

    @property
    def _fixed(self) -> int:
        parts = PurePosixPath(self._path).parts
        return next((i for i, part in enumerate(parts) if "*" in part), len(parts))

    def _there(self) -> Iterator[pafs.FileInfo]:
        """The files to read, in the order of their names."""
        base, fixed, is_pattern = self._base, self._fixed, "*" in self._path
        found = self._files.get_file_info(base)
        if found.type == pafs.FileType.Directory:
            inside = self._files.get_file_info(pafs.FileSelector(base, recursive=True))
            some = [info for info in inside if info.type == pafs.FileType.File]
        else:
            some = [found] if found.type == pafs.FileType.File else []
        for info in sorted(some, key=lambda info: info.path):
            hidden = any(part.startswith(("_", ".")) for part in PurePosixPath(info.path).parts[fixed:])
            fits = not is_pattern or fnmatch.fnmatchcase(info.path, self._path)
            if fits and not hidden and self._is_read(info):
                yield info

    def _is_read(self, info: pafs.FileInfo) -> bool:
        name = str(info.base_name).lower()
        if self._importer is None:
            return name.endswith((".parquet", ".pq"))
        return name.endswith(ENDS) and not skipped(Path(info.base_name), self._importer)

    def _remote(self, info: pafs.FileInfo, scratch: Path) -> Remote:
        content = f"{info.size}-{info.mtime_ns}"
        if self._importer is None:
            return Remote(info.path, content, lambda: self._parquet(info.path))
        importer = self._importer
        return Remote(info.path, content, lambda: self._exported(info, importer, scratch), mapped=True)

    def _parquet(self, path: str) -> pa.RecordBatchReader:
        """The columns that are needed of a Parquet file, and of the folders it lies in."""
        with self._readable(path):
            file = pq.ParquetFile(self._files.open_input_file(path))
        folders = {
            name: value for name, value in partitions_of(Path(path)).items() if name not in file.schema_arrow.names
        }
        needed = self._parts.mapping.needs([*file.schema_arrow.names, *folders])
        schema = pa.schema([file.schema_arrow.field(name) for name in needed if name not in folders])
        for name in folders.keys() & set(needed):
            schema = schema.append(pa.field(name, pa.string()))

        def batches() -> Iterator[pa.RecordBatch]:
            with self._readable(path), file:
                for batch in file.iter_batches(BATCH, columns=[name for name in needed if name not in folders]):
                    columns = [pa.repeat(folders[n], len(batch)) if n in folders else batch[n] for n in schema.names]
                    yield pa.RecordBatch.from_arrays(columns, schema=schema)

        return pa.RecordBatchReader.from_batches(schema, batches())

    def _exported(self, info: pafs.FileInfo, importer: Importer, scratch: Path) -> pa.RecordBatchReader:
        """The rows that an importer makes of a file."""
        with TemporaryDirectory(dir=scratch) as folder:
            copy, made = Path(folder, info.base_name), scratch / "imported.parquet"
            with (
                self._answers(),
                self._files.open_input_stream(info.path, compression=None) as there,
                copy.open("wb") as here,
            ):
                shutil.copyfileobj(there, here, 1 << 20)
            convert(copy, importer, made, {})
        file = pq.ParquetFile(made)
        return pa.RecordBatchReader.from_batches(file.schema_arrow, file.iter_batches(BATCH))

    def _answers(self) -> AbstractContextManager[None]:
        return answering(self._parts.mapping.place, self._url, errors=(OSError,))

    @contextmanager
    def _readable(self, path: str) -> Iterator[None]:
        """A file that is damaged is another matter than a bucket that does not answer."""
        try:
            with self._answers():
                yield
        except pa.ArrowInvalid as error:
            raise EventLogError(
                f"{self._parts.mapping.place}: {path} cannot be read: {str(error).rstrip('.')}.",
                fix="repair or remove it at the source",
            ) from error
