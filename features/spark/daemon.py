"""Spark's own daemon, without what its workers do again for each task although nothing has changed.

Before a task a worker has Python look at its path again. Before 3.12, Python then reads the contents of every zip file
on it, once for each package in it, and Spark itself is there as one: 0.2 s of processor time
(https://github.com/python/cpython/issues/103200). Spark's Java sends a task in pieces, and waits for the system to
acknowledge the first, which it puts off for 40 ms. After a task a worker looks for garbage among all objects there are,
those of imported libraries, too.
"""

import gc
import importlib
import os
import runpy
import socket
import sys
from typing import IO
from zipimport import zipimporter


def read_only_what_changed() -> None:
    """Have `importlib.invalidate_caches` read zip files only if they have changed since it last did."""
    read = zipimporter.invalidate_caches
    seen: dict[tuple[str, str], tuple[int, int]] = {}

    def read_if_changed(importer: zipimporter) -> None:
        which = importer.archive, importer.prefix
        try:
            found = os.stat(importer.archive)
        except OSError:
            seen.pop(which, None)
            read(importer)
            return
        state = found.st_mtime_ns, found.st_size
        if seen.get(which) != state:
            read(importer)
            seen[which] = state

    zipimporter.invalidate_caches = read_if_changed  # type: ignore[method-assign,assignment]


def acknowledge_at_once(channel: IO[bytes]) -> None:
    """Have the system acknowledge at once what comes next through a connection, where it can be asked to."""
    with socket.socket(fileno=os.dup(channel.fileno())) as connection:
        if hasattr(socket, "TCP_QUICKACK") and connection.family in (socket.AF_INET, socket.AF_INET6):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)


def main() -> None:
    """Run Spark's daemon in the place of this module."""
    # imported here, packages of Spark and their zip file are known to all workers
    worker = importlib.import_module("pyspark.worker")
    work = worker.main

    def work_and_keep(infile: IO[bytes], outfile: IO[bytes]) -> None:
        """Work on a task; what is there after it, the next one need not look through."""
        acknowledge_at_once(infile)
        work(infile, outfile)
        gc.collect()
        gc.freeze()

    worker.main = work_and_keep  # type: ignore[attr-defined]
    if sys.version_info < (3, 12):
        read_only_what_changed()
        importlib.invalidate_caches()
    runpy.run_module("pyspark.daemon", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
