"""The fold, compiled. The plain-Python oracle in ``tests/oracle.py`` says the same without tricks."""

import numba as nb

#: compiled once and kept on disk; runs beside other threads; divides as IEEE does
jit = nb.njit(cache=True, nogil=True, error_model="numpy")
