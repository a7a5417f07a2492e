"""A disk of a few megabytes that tests may fill."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest


class SmallDisk:
    """A file system of its own in memory.

    Attributes:
        folder: where it is mounted.
    """

    def __init__(self, folder: Path, megabytes: int) -> None:
        self.folder, self._root = folder, [] if os.geteuid() == 0 else ["sudo", "-n"]
        folder.mkdir()
        if self._root and shutil.which("sudo") is None:
            pytest.skip("only root may mount a small disk, and sudo is not here")
        done = self._run("mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=0777", "tmpfs", str(folder))
        if done.returncode:
            pytest.skip(f"a small disk cannot be mounted here: {done.stderr.strip()}")

    def fill(self) -> None:
        """Take all the room that is left, and what was given back since it was last filled."""
        with suppress(OSError), (self.folder / "filler").open("ab", buffering=0) as file:
            for size in (1_048_576, 4_096):
                with suppress(OSError):
                    while file.write(b"\0" * size):
                        pass

    def free(self) -> None:
        """Give back what was taken."""
        (self.folder / "filler").unlink()

    def enlarge(self, megabytes: int) -> None:
        self._run("mount", "-o", f"remount,size={megabytes}m", str(self.folder)).check_returncode()

    def unmount(self) -> None:
        self._run("umount", "-l", str(self.folder)).check_returncode()

    def _run(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*self._root, *command], capture_output=True, text=True, check=False)


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[SmallDisk]:
    """A small disk, skipped with a reason where none can be mounted."""
    disk = SmallDisk(folder, megabytes)
    try:
        yield disk
    finally:
        disk.unmount()
