"""Compiled code: how the kernel is compiled, and where the result is kept."""

import hashlib
import importlib
import os
import sys
from pathlib import Path

import numba as nb

#: the folder of the kernel
KERNEL = Path(__file__).parents[1] / "profile" / "kernel"


def made_of() -> list[Path]:
    """The files that compiled code of the kernel is made of."""
    beyond = ("time.py", "engines/keys.py", "engines/refunds.py", "events/orders.py", "profile/layout.py")
    return [Path(__file__), *sorted(KERNEL.glob("*.py")), *(KERNEL.parents[1] / part for part in beyond)]


def _code_folder() -> str:
    """Where compiled code is kept: by what all of it is made of.

    Numba looks at the outermost function's file alone, and would run an old fold inside an unchanged loop.
    """
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in made_of())).hexdigest()[:12]
    beside = KERNEL / "__pycache__"
    writable = os.access(beside if beside.exists() else KERNEL, os.W_OK)
    kept = beside if writable else Path.home() / ".cache" / "propensity"
    return str(kept / digest)


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

nb.config.CACHE_DIR = os.environ.get("NUMBA_CACHE_DIR") or _code_folder()

#: compiled once and kept on disk; runs beside other threads; divides as IEEE does
jit = nb.njit(cache=True, nogil=True, error_model="numpy")

#: the same, written into its caller: small functions called once a row
inlined = nb.njit(cache=True, nogil=True, error_model="numpy", inline="always")
