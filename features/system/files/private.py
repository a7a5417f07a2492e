"""Files that hold ids, scores or secrets are their owner's alone."""

import os
from pathlib import Path

#: no rights for the group or for others
UMASK = 0o077


def private() -> None:
    """From here on this process, and the programs it starts, make files that only their owner may read."""
    os.umask(UMASK)


def make_private(folder: Path) -> None:
    """Take the rights of others to a folder away, where it is there; one of somebody else stays as it is."""
    if folder.exists():
        _tighten(folder)


def make_all_private(folder: Path) -> None:
    """Take the rights of others to all that other programs have put into a folder."""
    for path in (folder, *folder.rglob("*")):
        _tighten(path)


def _tighten(path: Path) -> None:
    found = path.lstat()
    if found.st_uid == os.geteuid() and found.st_mode & UMASK and not path.is_symlink():
        path.chmod(found.st_mode & ~UMASK & 0o777)
