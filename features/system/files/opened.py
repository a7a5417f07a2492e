"""The files of a folder as they are at one moment, whatever becomes of it while they are read."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypeAlias, TypeVar

from features.errors import UnavailableError

Read = TypeVar("Read")

#: what tells the files of a folder from others in their place: of the folder its number in the file system and when a
#: name in it changed last, of each file its name and number
Stamp: TypeAlias = tuple[tuple[str, int], ...]

#: how often files are opened again when others take their place meanwhile, and seconds before they are
TRIES, PAUSE = 50, 0.02


@dataclass(frozen=True, slots=True)
class OpenedFiles:
    """Files of one folder, opened.

    Attributes:
        files: in the order of their names.
        stamp: which they are.
    """

    files: tuple[IO[bytes], ...]
    stamp: Stamp


@contextmanager
def opened(folder: Path, suffix: str = ".parquet") -> Iterator[OpenedFiles]:
    """Open the files of a folder, all of them or none.

    They can be read to their ends although the folder is replaced (`durable.replace_folder`) or removed
    (`durable.remove_folder`) meanwhile; no reader has some files of one folder and some of another, or some of one that
    is being removed.

    Args:
        folder: holds the files itself.
        suffix: how their names end.

    Raises:
        UnavailableError: the folder is not there, or is replaced again and again.
    """
    with ExitStack() as stack:

        def open_all(handle: int) -> OpenedFiles:
            # before they are opened: what takes a file's place after that makes another stamp
            stamp = _stamp(handle, suffix)
            files = (os.fdopen(os.open(name, os.O_RDONLY, dir_fd=handle), "rb") for name, _ in stamp[2:])
            return OpenedFiles(tuple(stack.enter_context(file) for file in files), stamp)

        yield _in_place(folder, open_all)


def stamp_of(folder: Path, suffix: str = ".parquet") -> Stamp:
    """Which files a folder has now: another stamp means another folder or other files in it. No file is opened.

    Raises:
        UnavailableError: as for `opened`.
    """
    return _in_place(folder, lambda handle: _stamp(handle, suffix))


def _in_place(folder: Path, read: Callable[[int], Read]) -> Read:
    """Read a folder by its handle; again where it was not in its place before and after."""
    for _ in range(TRIES):
        try:
            handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                found = read(handle)
                if os.path.samestat(os.stat(folder), os.fstat(handle)):
                    return found
            finally:
                os.close(handle)
        except FileNotFoundError:
            # where two folders cannot change places, there is a moment with none, and the other is called ``.old``
            if not folder.with_name(folder.name + ".old").exists() and not folder.exists():
                raise UnavailableError(f"{folder} is not there any more.", fix="ask again") from None
        time.sleep(PAUSE)
    raise UnavailableError(f"the files of {folder} keep changing.", fix="ask again in a minute")


def _stamp(handle: int, suffix: str) -> Stamp:
    about = os.fstat(handle)
    with os.scandir(handle) as entries:
        files = sorted((one.name, one.inode()) for one in entries if one.name.endswith(suffix))
    return (("", about.st_ino), ("", about.st_mtime_ns), *files)


def path_of(file: IO[bytes]) -> str:
    """A path of an opened file, for libraries that open files by themselves; it holds while the file is open."""
    return f"/dev/fd/{file.fileno()}"
