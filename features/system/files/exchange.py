"""Two folders that change places in one step, where the operating system can do that."""

import ctypes
import errno
import os
import sys
from pathlib import Path

#: what a system without the call answers, and a file system that cannot do it; another answer is a fault
_CANNOT = {errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP}

#: the flags of `renameat2` on Linux and `renamex_np` on macOS that let two names change places
_EXCHANGE_LINUX, _SWAP_MACOS = 2, 2

#: paths are seen from the working folder
_HERE = -100


def exchange(one: Path, other: Path) -> bool:
    """Let two folders that are there change places, so that no reader finds either name without a folder.

    Args:
        one: a folder.
        other: another one of the same file system.

    Returns:
        Whether they did; False where this system or this file system cannot do it, and nothing has changed.

    Raises:
        OSError: one is not there, or may not be renamed.
    """
    library = ctypes.CDLL(None, use_errno=True)
    names = os.fsencode(one), os.fsencode(other)
    if sys.platform == "linux" and hasattr(library, "renameat2"):
        failed = library.renameat2(_HERE, names[0], _HERE, names[1], _EXCHANGE_LINUX)
    elif sys.platform == "darwin" and hasattr(library, "renamex_np"):
        failed = library.renamex_np(*names, _SWAP_MACOS)
    else:
        return False
    if not failed:
        return True
    number = ctypes.get_errno()
    if number in _CANNOT:
        return False
    raise OSError(number, os.strerror(number), str(one), None, str(other))
