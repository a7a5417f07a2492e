"""The files of a folder as they are at one moment, whatever becomes of it while they are read."""

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypeAlias

from features.errors import UnavailableError

#: what tells the files of a folder from others in their place: of the folder and of each file its name, its number in
#: the file system, when it was written, and its size
Stamp: TypeAlias = tuple[tuple[str, int, int, int], ...]

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

    They can be read to their ends although the folder is replaced (`features.system.durable.replace_folder`) or removed
    (`features.system.durable.remove_folder`) meanwhile; no reader has some files of one folder and some of another, or
    some of one that is being removed.

    Args:
        folder: holds the files, itself or in folders.
        suffix: how their names end.

    Raises:
        UnavailableError: the folder is not there, or is replaced again and again.
    """
    with ExitStack() as stack:
        for _ in range(TRIES):
            try:
                found = stack.enter_context(_opened_at_once(folder, suffix))
                break
            except FileNotFoundError:
                # where two folders cannot change places, there is a moment with none, and the other is called ``.old``
                if not folder.with_name(folder.name + ".old").exists() and not folder.exists():
                    raise UnavailableError(f"{folder} is not there any more.", fix="ask again") from None
                time.sleep(PAUSE)
        else:
            raise UnavailableError(f"the files of {folder} keep changing.", fix="ask again in a minute")
        yield found


def stamp_of(folder: Path) -> Stamp:
    """Which files a folder has now: another stamp means another folder or other files in it.

    Raises:
        UnavailableError: as for `opened`.
    """
    with opened(folder) as found:
        return found.stamp


@contextmanager
def _opened_at_once(folder: Path, suffix: str) -> Iterator[OpenedFiles]:
    """Open all files; the folder is in its place before and after, so that none of them was removed between.

    Raises:
        FileNotFoundError: it was not.
    """
    with ExitStack() as stack:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            files = {name: stack.enter_context(file) for name, file in _files(handle, suffix)}
            whole = os.fstat(handle)
            if not os.path.samestat(os.stat(folder), whole):
                raise FileNotFoundError(str(folder))
        finally:
            os.close(handle)
        names = sorted(files)
        about = [("", whole), *((name, os.fstat(files[name].fileno())) for name in names)]
        stamp = tuple((name, one.st_ino, one.st_mtime_ns, one.st_size) for name, one in about)
        yield OpenedFiles(tuple(files[name] for name in names), stamp)


def _files(handle: int, suffix: str) -> Iterator[tuple[str, IO[bytes]]]:
    """The files below an opened folder, with their paths from there."""
    for above, _, names, inside in os.fwalk(".", dir_fd=handle, onerror=_raised):
        for name in names:
            if name.endswith(suffix):
                yield os.path.join(above, name), os.fdopen(os.open(name, os.O_RDONLY, dir_fd=inside), "rb")


def _raised(error: OSError) -> None:
    raise error


def path_of(file: IO[bytes]) -> str:
    """A path of an opened file, for libraries that open files by themselves; it holds while the file is open."""
    return f"/dev/fd/{file.fileno()}"
