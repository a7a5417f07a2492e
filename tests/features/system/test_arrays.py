"""Compiled code runs without `scipy.linalg`, and compiled code of others that multiplies matrices finds it."""

import subprocess
import sys


def ran(program: str) -> str:
    return subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout.strip()


def test_compiled_code_of_ours_does_not_import_what_multiplies_matrices() -> None:
    program = """
import sys
import numpy as np
from features.events.sort import grouped
assert grouped(np.array([1, 0, 1, 0]), 2)[0].tolist() == [1, 3, 0, 2]
print("scipy.linalg" in sys.modules, "scipy.linalg.cython_blas" in sys.modules)
"""
    assert ran(program) == "False False"


def test_compiled_code_of_others_multiplies_matrices() -> None:
    program = """
import numpy as np
import features.system.compiled
import numba
@numba.njit
def both(a):
    return np.dot(a, a), np.cov(a)
product, spread = both(np.array([[1.0, 2.0], [3.0, 4.0]]))
print(product.tolist(), spread.tolist())
"""
    assert ran(program) == "[[7.0, 10.0], [15.0, 22.0]] [[0.5, 0.5], [0.5, 0.5]]"
