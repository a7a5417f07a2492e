"""The strongest effects of each row."""

import numba as nb
import numpy as np
from numpy.typing import NDArray

# nothing here is compiled into another file's code, so numba's own cache sees every change
jit = nb.njit(cache=True, nogil=True, error_model="numpy")


@jit
def strongest(effects: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    """Columns of the strongest effects of each row, ``[rows, count]``, strongest first.

    Equal ones stand in the order of the columns; -1 where fewer columns have an effect. ``count`` is at least 1.
    """
    found = np.full((effects.shape[0], count), -1, dtype=np.int64)
    strength = np.empty(count)
    for row in range(effects.shape[0]):
        strength[:] = 0.0
        for column in range(effects.shape[1]):
            size = abs(effects[row, column])
            if size > strength[count - 1]:
                place = count - 1
                while place and size > strength[place - 1]:
                    strength[place], found[row, place] = strength[place - 1], found[row, place - 1]
                    place -= 1
                strength[place], found[row, place] = size, column
    return found
