"""Files and folders that are whole or not there, and outlive the machine's power."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from features.system.files.exchange import exchange


@contextmanager
def replacing(path: Path, *, durable: bool = True) -> Iterator[Path]:
    """Yield where to write what is to take a file's place: whole or not at all, whatever ends the process.

    Args:
        path: the file.
        durable: whether it outlives the machine's power, too; what can be made again at any time need not.
    """
    fresh = path.with_name(f"{path.name}.{os.getpid()}.new")
    try:
        yield fresh
        if durable:
            flush(fresh)
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)
    if durable:
        flush(path.parent)  # a file's own flush does not hold its name


def write_durably(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, and for good."""
    with replacing(path) as fresh:
        fresh.write_bytes(content)


def new_folder(folder: Path, *, mode: int = 0o777) -> None:
    """Make a folder, and the folders above it, where they are not there yet, and for good.

    Args:
        folder: the folder.
        mode: its rights, less those that the process withholds from all it makes.
    """
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True, mode=mode)
    for path in missing:
        flush(path.parent)


def place_folder(fresh: Path, folder: Path) -> None:
    """Put a finished folder where none is, or an empty one: whole, and for good.

    Args:
        fresh: the finished folder, beside the place.
        folder: the place.

    Raises:
        OSError: something is there.
    """
    _flush_all(fresh)
    _rename(fresh, folder)


def replace_folder(fresh: Path, folder: Path) -> None:
    """Put a finished folder in the place of another one of ours, or of none: whole, and for good.

    Readers find the one or the other at every moment, and `opened.opened` reads one of them whole. Only where a file
    system cannot let two folders change places (see `exchange.exchange`), there is a moment with none.

    Args:
        fresh: the finished folder, beside the other.
        folder: the place; what was there is removed, and what is called as it is with ``.old``.
    """
    _flush_all(fresh)  # before anything moves: it may take long
    old = folder.with_name(folder.name + ".old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists() and exchange(fresh, folder):
        flush(folder.parent)
        shutil.rmtree(fresh, ignore_errors=True)
        return
    if folder.exists():
        folder.rename(old)
    _rename(fresh, folder)
    shutil.rmtree(old, ignore_errors=True)


def remove_folder(folder: Path) -> None:
    """Remove a folder of ours, where there is one: its name first, so that no reader finds half of it.

    Args:
        folder: the place; what is called as it is with ``.old`` is removed, too.
    """
    old = folder.with_name(folder.name + ".old")
    if old.exists():
        shutil.rmtree(old)
    if folder.exists():
        _rename(folder, old)
        shutil.rmtree(old)


def _flush_all(folder: Path) -> None:
    for path in (*folder.rglob("*"), folder):
        flush(path)


def _rename(fresh: Path, folder: Path) -> None:
    fresh.rename(folder)
    flush(folder.parent)


def flush(path: Path) -> None:
    """Bring what was written to a file, or made and renamed in a folder, onto the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
