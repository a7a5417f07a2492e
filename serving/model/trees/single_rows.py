"""A booster asked about a few rows, by LightGBM's interface for single rows.

``Booster.predict`` sets up a predictor each time, which takes longer than a row's trees do.
"""

import ctypes
import weakref

import lightgbm as lgb
import numpy as np
from lightgbm.basic import _C_API_DTYPE_FLOAT64, _C_API_PREDICT_RAW_SCORE, _LIB, _safe_call
from numpy.typing import NDArray

Floats = NDArray[np.float64]

#: rows from which on LightGBM's interface for matrices is as fast
MANY = 24


class SingleRows:
    """The raw scores of a booster, set up once; the same numbers as ``Booster.predict(raw_score=True)``.

    Threads may share it: LightGBM locks what is set up.

    Args:
        booster: what answers.

    Raises:
        lightgbm.basic.LightGBMError: the booster cannot be set up.
    """

    def __init__(self, booster: lgb.Booster) -> None:
        self._booster = booster  # what is set up points into it
        self._columns = booster.num_feature()
        self._config = ctypes.c_void_p()
        _safe_call(
            _LIB.LGBM_BoosterPredictForMatSingleRowFastInit(
                booster._handle, ctypes.c_int(_C_API_PREDICT_RAW_SCORE), ctypes.c_int(0), ctypes.c_int(-1),
                ctypes.c_int(_C_API_DTYPE_FLOAT64), ctypes.c_int(self._columns), b"num_threads=1",
                ctypes.byref(self._config),
            )
        )  # fmt: skip
        weakref.finalize(self, _LIB.LGBM_FastConfigFree, self._config)

    def predict(self, matrix: Floats) -> Floats:
        """Score each row of a matrix.

        Raises:
            ValueError: the matrix has another number of columns than the booster.
        """
        if matrix.shape[1] != self._columns:
            raise ValueError(f"{matrix.shape[1]} columns for a booster of {self._columns}")
        rows = np.ascontiguousarray(matrix, dtype=np.float64)
        scores, length = np.empty(len(rows)), ctypes.c_int64()
        row, score = rows.ctypes.data, scores.ctypes.data
        for i in range(len(rows)):
            _safe_call(
                _LIB.LGBM_BoosterPredictForMatSingleRowFast(
                    self._config, ctypes.c_void_p(row + i * rows.strides[0]), ctypes.byref(length),
                    ctypes.c_void_p(score + 8 * i),
                )
            )  # fmt: skip
        return scores
