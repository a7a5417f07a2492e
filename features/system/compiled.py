"""Compiled code: how the kernel is compiled, and where the result is kept."""

import hashlib
import importlib
import os
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import ParamSpec, TypeVar

import numba as nb
import numpy as np
from numpy.typing import NDArray

Scalar = TypeVar("Scalar", bound=np.generic)
P = ParamSpec("P")
R = TypeVar("R")

#: the folder of the kernel
KERNEL = Path(__file__).parents[1] / "profile" / "kernel"


def made_of() -> list[Path]:
    """The files that compiled code of the kernel is made of."""
    beyond = ("time.py", "engines/keys.py", "engines/refunds.py", "events/orders.py", "profile/layout.py")
    return [Path(__file__), *sorted(KERNEL.glob("*.py")), *(KERNEL.parents[1] / part for part in beyond)]


def code_folder(chosen: str | None) -> str:
    """Where compiled code is kept: by what all of it is made of.

    Numba looks at the outermost function's file alone, and would run an old fold inside an unchanged loop.

    Args:
        chosen: the folder above; beside the kernel, or in the user's cache, where none is.
    """
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in made_of())).hexdigest()[:12]
    beside = KERNEL / "__pycache__"
    writable = os.access(beside if beside.exists() else KERNEL, os.W_OK)
    usual = beside if writable else Path.home() / ".cache" / "propensity"
    return str((Path(chosen) if chosen else usual) / digest)


def _load_arrays() -> None:
    """Load what numba knows of arrays without `scipy.linalg`, which takes longer than all else of a start.

    Numba imports it to see whether there is a BLAS. There is: SciPy is installed with this package; and what multiplies
    matrices, which nothing here does, loads it when it is compiled.
    """
    blas = "scipy.linalg.cython_blas"
    if "numba.np.arraymath" in sys.modules or blas in sys.modules:
        return
    sys.modules[blas] = None  # type: ignore[assignment]  # so that the import is refused
    try:
        setattr(importlib.import_module("numba.np.arraymath"), "_HAVE_BLAS", True)  # noqa: B010  # it has no types
    finally:
        del sys.modules[blas]


_load_arrays()

nb.config.CACHE_DIR = code_folder(os.environ.get("NUMBA_CACHE_DIR"))

#: compiled once and kept on disk; runs beside other threads; divides as IEEE does
jit = nb.njit(cache=True, nogil=True, error_model="numpy")

#: the same, written into its caller: small functions called once a row
inlined = nb.njit(cache=True, nogil=True, error_model="numpy", inline="always")


def for_reading(array: NDArray[Scalar]) -> NDArray[Scalar]:
    """A read-only view of an array, in one piece, as compiled code gets all that it reads.

    Numba compiles a function once for each type of its arguments, and a read-only array is of another type than one
    that can be written; the fold takes a quarter of a minute.
    """
    view = np.ascontiguousarray(array).view()
    view.flags.writeable = False
    return view


def of_any_arrays(function: Callable[P, R]) -> Callable[P, R]:
    """A compiled function that writes to none of its arguments, for callers that are not; see `for_reading`."""

    @wraps(function)
    def called(*args: P.args, **kwargs: P.kwargs) -> R:
        given = (for_reading(one) if isinstance(one, np.ndarray) else one for one in args)
        return function(*given, **kwargs)  # type: ignore[arg-type]

    return called
