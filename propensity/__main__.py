"""The command line: runs a command, and shows an error that a person can correct without a traceback."""

import atexit
import errno
import gc
import logging
import os
import sys
import warnings
from typing import NoReturn

from rich.markup import escape

from features.errors import PropensityError
from features.system.files.private import private
from propensity.app import app
from propensity.console import Warnings, err

#: so many new objects go by before a look for circles among them
COLLECTED = 50_000

#: how a command ends that says what a person can mend
REFUSED = 2

#: a full disk or quota, a read-only disk, missing rights
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)

#: a path that leads through a file, is a folder where a file is meant or the other way round, or is too long
_PATH = (errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENAMETOOLONG)


def main() -> None:
    """Run a command; errors that a person can correct are shown in words, without a traceback."""
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    private()
    logging.getLogger("propensity.log").addHandler(Warnings())
    try:
        app()
    except PropensityError as error:
        _end(error.code, error.message, error.fix)
    except OSError as error:
        if error.errno not in (*_DISK, *_PATH):
            raise
        named = error.filename2 or error.filename
        place = f" {named}" if named else ""
        fix = "make room, or correct the rights, and run it again"
        if error.errno in _PATH:
            fix = "name a place that is free: no file on the way to it, and no folder where a file is to be"
        _end("disk", f"cannot write{place}: {error.strerror}.", fix)


def _end(code: str, message: str, fix: str) -> NoReturn:
    err.print(f"[bold red]{code}[/] {escape(message)}", soft_wrap=True, highlight=False)
    if fix:
        err.print(f"[bold]fix[/] {escape(fix)}", soft_wrap=True, highlight=False)
    sys.exit(REFUSED)


def program() -> None:
    """Run a command as a process of its own."""
    # what a command imports stays: to look through it at the usual pace takes 5 to 10 % of a short command
    gc.set_threshold(COLLECTED)
    try:
        main()
    except SystemExit as end:
        if end.code != REFUSED:
            raise
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(REFUSED)  # without the interpreter's end, at which DuckDB's binding writes a page about leaks


if __name__ == "__main__":
    program()
