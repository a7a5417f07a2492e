"""Where this machine and Spark's executors hand files to each other: a disk that all see, or an object store."""

import fcntl
import logging
import secrets
import shutil
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import IO, TypeAlias

from features.errors import UnavailableError
from features.event_store.distributed import HANDED
from features.events.write import part_files
from features.system.files.durable import new_folder, replace_folder
from features.system.files.places import Place
from features.system.files.private import make_all_private

log = logging.getLogger("propensity.log")

#: the folder of the home with a mark of each command that hands files over, which it holds
MARKS = "handing-over"

_Stamp: TypeAlias = tuple[tuple[str, int, int], ...]


class Exchange:
    """Folders of this machine as executors see them.

    Args:
        shared: the address in an object store; empty where executors see the folders themselves.
        home: the definition's folder.
    """

    def __init__(self, shared: str, home: Path) -> None:
        self._root: Place | None = None
        self._copies: dict[Path, tuple[_Stamp, Place]] = {}
        if shared:
            handed, mine = Place(shared, f"{home.name}/{HANDED}"), secrets.token_hex(8)
            marks = home / MARKS
            new_folder(marks)
            _remove_of_killed(handed, marks)
            mark = (marks / mine).open("w")
            fcntl.flock(mark, fcntl.LOCK_EX)
            self._root = handed / mine
            weakref.finalize(self, _end, self._root, mark)

    def place(self, folder: Path) -> Place:
        """Where executors find the files of a folder; they are copied there where that is another place."""
        if self._root is None:
            return Place(str(folder))
        stamp = _stamp_of(folder)
        known, place = self._copies.get(folder, ((), None))
        if place is None or known != stamp:
            place = self.send([name for name, *_ in stamp], folder)
            self._copies[folder] = stamp, place
        return place

    def send(self, names: list[str], folder: Path) -> Place:
        """Where executors find some files of a folder."""
        if self._root is None:
            return Place(str(folder))
        place = self._root / secrets.token_hex(8)
        place.send(names, folder)
        return place

    def empty(self, folder: Path) -> Place:
        """An empty place where executors write what is to become a folder, see `receive`."""
        if self._root is not None:
            return self._root / secrets.token_hex(8)
        shutil.rmtree(folder, ignore_errors=True)
        new_folder(folder)
        return Place(str(folder))

    def receive(self, place: Place, names: list[str], folder: Path) -> None:
        """Take what executors have written as a folder's files, and what else tasks have left there away.

        Args:
            place: as `empty` gave it for the folder.
            names: the files of the tasks that were done.
            folder: gets them.
        """
        if self._root is not None:
            shutil.rmtree(folder, ignore_errors=True)
            new_folder(folder)
            place.fetch(names, folder)
        else:
            place.remove(sorted(set(place.names()) - set(names)))  # of tasks that were tried again
        make_all_private(folder)  # executors write as their own environment says
        if self._root is not None:
            self._copies[folder] = _stamp_of(folder), place

    def receive_new(self, place: Place, names: Sequence[str], folder: Path) -> None:
        """Take what executors have written beside some files of a folder, see `send`, into it.

        Args:
            place: as `send` gave it.
            names: the files that were there.
            folder: gets the others.
        """
        if self._root is not None:
            place.fetch(sorted(set(place.names()) - set(names)), folder)
        make_all_private(folder)

    def replace(self, fresh: Path, folder: Path) -> None:
        """Put a folder that was received in the place of another one."""
        copied = self._copies.pop(fresh, None)
        replace_folder(fresh, folder)
        if copied is not None:
            self._copies[folder] = copied


def _end(place: Place, mark: IO[str]) -> None:
    """Remove what was handed over, when a command ends; where the store does not answer, the next command does."""
    try:
        place.remove()
        Path(mark.name).unlink(missing_ok=True)
    except UnavailableError as error:
        log.warning("what was handed over stays in %s until the next command: %s", place, error)
    finally:
        mark.close()


def _remove_of_killed(handed: Place, marks: Path) -> None:
    """Remove what commands have handed over that were killed: nobody holds their marks any more."""
    for mark in marks.iterdir():
        with mark.open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            (handed / mark.name).remove()
            mark.unlink()


def _stamp_of(folder: Path) -> _Stamp:
    """Which files a folder has, and what tells whether they have changed."""
    return tuple(
        (str(file.relative_to(folder)), file.stat().st_size, file.stat().st_mtime_ns) for file in part_files(folder)
    )
