"""Where this machine and Spark's executors hand files to each other: a disk that all see, or an object store."""

import logging
import secrets
import shutil
import weakref
from pathlib import Path
from typing import TypeAlias

from features.errors import UnavailableError
from features.event_store.distributed import HANDED
from features.events.write import part_files
from features.system.files.durable import new_folder, replace_folder
from features.system.files.places import Place
from features.system.files.private import make_all_private

log = logging.getLogger("propensity.log")

_Stamp: TypeAlias = tuple[tuple[str, int, int], ...]


class Exchange:
    """Folders of this machine as executors see them.

    Args:
        shared: the address in an object store; empty where executors see the folders themselves.
        name: of the definition.
    """

    def __init__(self, shared: str, name: str) -> None:
        self._root = Place(shared, f"{name}/{HANDED}") / secrets.token_hex(8) if shared else None
        self._copies: dict[Path, tuple[_Stamp, Place]] = {}
        if self._root is not None:
            weakref.finalize(self, _remove, self._root)

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

    def replace(self, fresh: Path, folder: Path) -> None:
        """Put a folder that was received in the place of another one."""
        copied = self._copies.pop(fresh, None)
        replace_folder(fresh, folder)
        if copied is not None:
            self._copies[folder] = copied


def _remove(place: Place) -> None:
    """Remove what was handed over, when a command ends."""
    try:
        place.remove()
    except UnavailableError as error:
        log.warning("what was handed over stays in %s: %s", place, error)


def _stamp_of(folder: Path) -> _Stamp:
    """Which files a folder has, and what tells whether they have changed."""
    return tuple(
        (str(file.relative_to(folder)), file.stat().st_size, file.stat().st_mtime_ns) for file in part_files(folder)
    )
