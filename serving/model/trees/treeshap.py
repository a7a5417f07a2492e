"""Exact attributions of a booster's score: LightGBM's ``pred_contrib`` without LightGBM.

Path-dependent TreeSHAP (Lundberg et al. 2020): leaf by leaf for a few rows, from tables once many were asked for.
"""

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numba as nb
import numpy as np
from numpy.typing import NDArray

from features.system.parallel import cores, each
from serving.model.numbers import Floats
from serving.model.trees.conditions import Conditions, Ints
from serving.model.trees.structure import Node
from serving.model.trees.treeshap_bulk import NEAR, Tables
from serving.model.trees.treeshap_tables import tabulated, ways

#: rows from which on making the tables pays
WORTHWHILE = 256

# nothing here is compiled into another file's code, so numba's own cache sees every change
jit = nb.njit(cache=True, nogil=True, error_model="numpy")


@dataclass(frozen=True)
class Attributions:
    """Trees, ready to be explained.

    Attributes:
        roots: of the trees.
        conditions: what they ask.
    """

    roots: list[Node]
    conditions: Conditions

    def effects(self, matrix: Floats) -> Floats:
        """What each column adds to the score of each row, ``[rows, columns]``.

        Args:
            matrix: ``[rows, columns]``, row by row in memory.
        """
        # rows that are looked up together read each table once: to split them would read it twice
        parts = min(cores(), -(-len(matrix) // NEAR))
        # once the tables are there, a look-up takes less than the way leaf by leaf, for a single row too
        if len(matrix) >= WORTHWHILE or "tables" in self.__dict__:
            answer, leaves = self.tables.effects(matrix, parts), self._large
        else:
            answer, leaves = np.zeros(matrix.shape), self._leaves
        if not len(leaves.values):
            return answer
        asks, edges = leaves.conditions, np.linspace(0, len(matrix), parts + 1).astype(np.int64).tolist()

        def work(part: tuple[int, int]) -> None:
            rows = slice(*part)
            _explain(matrix[rows], asks.asked, asks.threshold, asks.members, leaves.values, leaves.begins,
                     leaves.columns, leaves.shares, leaves.steps, leaves.asked, answer[rows])  # fmt: skip

        for _ in each(pairwise(edges), work) if parts > 1 else map(work, pairwise(edges)):
            pass
        return answer

    @cached_property
    def tables(self) -> Tables:
        """For many rows; made when many are first asked for, and used for few from then on."""
        return Tables.of(self.roots, self.conditions)

    @cached_property
    def _leaves(self) -> "_Leaves":
        """Of all trees, for few rows."""
        return _Leaves.of(self.roots, self.conditions)

    @cached_property
    def _large(self) -> "_Leaves":
        """Of the trees that are too large for tables; no row is asked what only the other trees ask."""
        large = [root for root in self.roots if not tabulated(root)]
        return _Leaves.of(large, Conditions.of(large))


@dataclass(frozen=True)
class _Leaves:
    """The leaves of trees, each with the columns that decide whether a row falls into it.

    Attributes:
        conditions: what the trees ask.
        values: of the leaves.
        begins: ``[leaves + 1]``: where each leaf's columns begin.
        columns: on the way to each leaf, each once.
        shares: of the rows that meet all conditions on a column, among those that came to them.
        steps: where each column's conditions begin.
        asked: of each condition its place among all, times 2, and 1 more where it must go left.
    """

    conditions: Conditions
    values: Floats
    begins: Ints
    columns: Ints
    shares: Floats
    steps: Ints
    asked: Ints

    @classmethod
    def of(cls, roots: list[Node], conditions: Conditions) -> "_Leaves":
        """Lay out trees with their conditions."""
        values, begins, columns, shares, steps, asked = [], [0], list[int](), list[float](), [0], list[int]()
        for root, first in zip(roots, conditions.trees[:-1].tolist(), strict=True):
            for leaf, way in ways(root, 0, []):
                for column in dict.fromkeys(column for _, _, column, _ in way):
                    own = [(2 * (first + at) + left, share) for at, left, asks, share in way if asks == column]
                    asked += [at for at, _ in own]
                    shares.append(float(np.prod([share for _, share in own])))
                    columns.append(column)
                    steps.append(len(asked))
                values.append(leaf.value)
                begins.append(len(columns))
        whole = (np.array(one, dtype=np.int64) for one in (begins, columns, steps, asked))
        begins_, columns_, steps_, asked_ = whole
        return cls(conditions, np.array(values), begins_, columns_, np.array(shares), steps_, asked_)


@jit
def _explain(
    matrix: Floats, asked: Ints, threshold: Floats, members: NDArray[np.bool_], values: Floats, begins: Ints,
    columns: Ints, shares: Floats, steps: Ints, wanted: Ints, answer: Floats,
) -> None:  # fmt: skip
    """Add up the Shapley values of each row's columns over all leaves.

    The product over columns of ``share + met x`` says by its coefficients how much of a leaf is reached when so many
    columns are known; without one's own factor it weighs what knowing that column changes.
    """
    left = np.empty(len(asked), dtype=np.bool_)
    most = 1
    for leaf in range(len(values)):
        most = max(most, begins[leaf + 1] - begins[leaf])
    product, met = np.empty(most + 1), np.empty(most, dtype=np.bool_)
    for row in range(matrix.shape[0]):
        x = matrix[row]
        for at in range(len(asked)):
            value = x[asked[at, 0]]
            if asked[at, 2] >= 0:
                inside = members[asked[at, 2]]
                left[at] = -1.0 < value < inside.size and inside[int(value)]
            else:
                left[at] = not (value > threshold[at]) if asked[at, 1] else value <= threshold[at]
        for leaf in range(len(values)):
            first, d = begins[leaf], begins[leaf + 1] - begins[leaf]
            product[0] = 1.0
            for i in range(d):
                met[i] = True
                for step in range(steps[first + i], steps[first + i + 1]):
                    met[i] &= left[wanted[step] >> 1] == (wanted[step] & 1)
                share, factor = shares[first + i], 1.0 if met[i] else 0.0
                product[i + 1] = factor * product[i]
                for k in range(i, 0, -1):
                    product[k] = share * product[k] + factor * product[k - 1]
                product[0] *= share
            for i in range(d):
                share = shares[first + i]
                weight, rest, total = 1.0 / d, 0.0, 0.0  # |S|! (d - |S| - 1)! / d! of the largest set on
                for k in range(d - 1, -1, -1):  # the product without this column's factor, from its highest coefficient
                    rest = product[k + 1] - share * rest if met[i] else product[k] / share
                    total += weight * rest
                    weight *= (d - k) / k if k else 1.0
                answer[row, columns[first + i]] += values[leaf] * total * ((1.0 if met[i] else 0.0) - share)
