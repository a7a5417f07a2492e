"""Folders that other machines see, too: on a disk that all of them have, or in an object store such as S3."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.fs as pafs

from features.errors import UnavailableError
from features.system.files.durable import flush, new_folder

#: what a store says where a file is not there
_NOT_THERE = (FileNotFoundError, NotADirectoryError)


@dataclass(frozen=True, slots=True)
class Place:
    """A folder on a disk or in an object store; it can be sent to other machines.

    Attributes:
        address: an absolute path, or ``s3://bucket/folder``, ``gs://…``, ``abfs://…`` as `pyarrow.fs` reads it; it
            holds no keys, see `features.settings.Settings`.
        below: names of folders below the address, with slashes between them.
    """

    address: str
    below: str = ""

    @property
    def is_store(self) -> bool:
        """Whether it is in an object store."""
        return "://" in self.address

    @property
    def folder(self) -> Path:
        """The folder on the disk."""
        return Path(self.address) / self.below

    def __truediv__(self, name: str) -> "Place":
        return Place(self.address, f"{self.below}/{name}" if self.below else name)

    def __str__(self) -> str:
        plain = self.address.partition("?")[0]
        return f"{plain}/{self.below}" if self.below else plain

    @contextmanager
    def reading(self, name: str) -> Iterator[Any]:
        """Open a file to be read, at any position.

        Raises:
            OSError: it is not there, or cannot be read.
            UnavailableError: the store does not answer.
        """
        if self.is_store:
            files, path = self._system()
            with self._answers():
                opened = files.open_input_file(f"{path}/{name}")
            with opened as file:
                yield file
        else:
            with pa.OSFile(str(self.folder / name)) as file:
                yield file

    @contextmanager
    def writing(self, name: str) -> Iterator[Any]:
        """Open a new file to be written.

        Raises:
            UnavailableError: the store does not answer.
        """
        if self.is_store:
            files, path = self._system()
            with self._answers(), files.open_output_stream(f"{path}/{name}") as file:
                yield file  # it is there when it is closed
        else:
            with pa.OSFile(str(self.folder / name), "wb") as file:
                yield file

    def write(self, name: str, frame: pl.DataFrame) -> None:
        """Write a frame as a Parquet file."""
        if not self.is_store:
            frame.write_parquet(self.folder / name, compression="lz4")
            return
        with self.writing(name) as file:
            frame.write_parquet(file, compression="lz4")

    def make(self) -> None:
        """Make the folder, in one that is there; a store has none."""
        if not self.is_store:
            self.folder.mkdir(exist_ok=True)

    def keep(self, name: str) -> None:
        """See that a written file outlives the machine's power; a store sees to it itself."""
        if not self.is_store:
            flush(self.folder / name)

    def names(self) -> list[str]:
        """The files at any depth, by their names from here; none where there is no folder."""
        files, path = self._system()
        with self._answers():
            found = files.get_file_info(pafs.FileSelector(path, allow_not_found=True, recursive=True))
        return sorted(one.path[len(path) + 1 :] for one in found if one.type == pafs.FileType.File)

    def remove(self, names: list[str] | None = None) -> None:
        """Remove some files, where they are still there, or all there is."""
        files, path = self._system()
        with self._answers():
            for name in names if names is not None else ():
                with suppress(FileNotFoundError):
                    files.delete_file(f"{path}/{name}")
            if names is None and files.get_file_info(path).type == pafs.FileType.Directory:
                files.delete_dir(path)

    def fetch(self, names: list[str], folder: Path) -> None:
        """Copy files to a folder of this machine."""
        self._copy(names, folder, here=True)

    def send(self, names: list[str], folder: Path) -> None:
        """Copy files of a folder of this machine to this place."""
        self._copy(names, folder, here=False)

    def _copy(self, names: list[str], folder: Path, *, here: bool) -> None:
        files, path = self._system()
        disk = pafs.LocalFileSystem()
        for parent in {(folder / name).parent for name in names}:
            new_folder(parent)
        with self._answers():
            for name in names:
                of_store, of_disk = (f"{path}/{name}", files), (str(folder / name), disk)
                (source, read), (target, written) = (of_store, of_disk) if here else (of_disk, of_store)
                pafs.copy_files(source, target, read, written, use_threads=False)

    def _system(self) -> tuple[pafs.FileSystem, str]:
        """The file system, and the folder's path in it."""
        if not self.is_store:
            return pafs.LocalFileSystem(), str(self.folder)
        with self._answers():
            files, root = pafs.FileSystem.from_uri(self.address)
        return files, f"{root}/{self.below}" if self.below else root

    @contextmanager
    def _answers(self) -> Iterator[None]:
        """What a store says instead of an answer, in words; that a file is not there is an answer."""
        try:
            yield
        except _NOT_THERE:
            raise
        except (OSError, pa.ArrowInvalid) as error:
            raise self.silent(error) from error

    def silent(self, error: Exception) -> UnavailableError:
        """The error of a store that does not answer."""
        return UnavailableError(
            f"{self} does not answer: {str(error).splitlines()[0]}.",
            fix="check PROPENSITY_SHARED, the store, and the credentials of each machine",
        )
