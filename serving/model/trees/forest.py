"""A booster that answers without LightGBM: the same scores to the last bit, in a tenth of the time.

For each condition, a number of 64 bits says which leaves stay open to a row that does not go left; what is left of all
of a tree's numbers is the leaf (QuickScorer, Lucchese et al. 2015). No step of it depends on a row, so that processors
ask several rows at once.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numba as nb
import numpy as np
from numpy.typing import NDArray

from serving.model.numbers import Floats
from serving.model.trees.conditions import Conditions
from serving.model.trees.structure import Leaf, Node, read
from serving.model.trees.treeshap import Attributions

Ints = NDArray[np.int64]

#: a tree with more leaves than there are bits is walked row by row
MOST_LEAVES = 64
#: rows that are asked together; with fewer than these, walking is as fast
NEAR, FEW = 256, 4

#: the position of a number's only bit is looked up by the product's highest six (de Bruijn)
_SEQUENCE = 0x03F79D71B4CB0A89
_POSITIONS = np.zeros(64, dtype=np.int64)
_POSITIONS[[(_SEQUENCE << bit & 2**64 - 1) >> 58 for bit in range(64)]] = np.arange(64)

# nothing here is compiled into another file's code, so numba's own cache sees every change
jit = nb.njit(cache=True, nogil=True, error_model="numpy")


@dataclass(frozen=True)
class Forest:
    """A booster.

    Attributes:
        text: as LightGBM writes it.
        columns: how many columns it reads.
        roots: of its trees.
    """

    text: str
    columns: int
    roots: list[Node]

    @classmethod
    def of(cls, text: str) -> Self:
        """Read a booster.

        Args:
            text: as LightGBM writes it.

        Raises:
            ValueError: it is damaged, or of a kind that is not a sum of trees.
        """
        return cls(text, *read(text))

    def predict(self, matrix: Floats) -> Floats:
        """The score of each row, the sum of the leaves it falls into: ``Booster.predict(raw_score=True)``.

        Args:
            matrix: ``[rows, columns]``, NaN where missing.

        Raises:
            ValueError: the matrix has another number of columns than the booster.
        """
        if matrix.shape[1] != self.columns:
            raise ValueError(f"{matrix.shape[1]} columns for a booster of {self.columns}")
        scores, conditions, (stays, nodes, leaves, begins) = np.zeros(len(matrix)), self.conditions, self._layout
        _add_up(
            np.ascontiguousarray(matrix, dtype=np.float64), conditions.asked, conditions.threshold, conditions.members,
            conditions.trees, stays, nodes, leaves, begins, _POSITIONS, scores,
        )  # fmt: skip
        return scores

    def effects(self, matrix: Floats) -> Floats:
        """What each column adds to the score of each row, ``[rows, columns]``: LightGBM's ``pred_contrib``."""
        return self._attributions.effects(np.ascontiguousarray(matrix, dtype=np.float64))

    @cached_property
    def used(self) -> NDArray[np.bool_]:
        """The columns that are asked for."""
        found = np.zeros(self.columns, dtype=np.bool_)
        found[self.conditions.asked[:, 0]] = True
        return found

    @cached_property
    def conditions(self) -> Conditions:
        """What the trees ask."""
        return Conditions.of(self.roots)

    @cached_property
    def _attributions(self) -> Attributions:
        return Attributions(self.roots, self.conditions)

    @cached_property
    def _layout(self) -> tuple[NDArray[np.uint64], Ints, Floats, Ints]:
        """Of each condition, the leaves that stay open to who does not go left, and what follows on its right.

        And the leaves from left to right, and where each tree's begin. In a tree with more leaves than there are bits
        no bits are kept.
        """
        stays, rights, leaves, begins = list[int](), list[int](), list[float](), [0]
        for root in self.roots:
            _lay_out(root, 0, 0, stays, rights, leaves, root.size < MOST_LEAVES)
            begins.append(len(leaves))
        return np.array(stays, dtype=np.uint64), np.array(rights, dtype=np.int64), np.array(leaves), np.array(begins)

    def __reduce__(self) -> tuple[object, tuple[str]]:
        """Travel to another process as text: what is laid out here stays here."""
        return Forest.of, (self.text,)


def _lay_out(
    node: Node, place: int, leaf: int, stays: list[int], rights: list[int], leaves: list[float], bits: bool
) -> None:
    """Append a subtree: its root comes so many conditions, its first leaf so many leaves, after the tree's first."""
    if isinstance(node, Leaf):
        leaves.append(node.value)
        return
    left = node.left.size + 1
    stays.append(~(((1 << left) - 1) << leaf) & (1 << MOST_LEAVES) - 1 if bits else 0)
    rights.append(place + left)
    _lay_out(node.left, place + 1, leaf, stays, rights, leaves, bits)
    _lay_out(node.right, place + left, leaf + left, stays, rights, leaves, bits)


@jit
def _walk(
    x: Floats, asked: Ints, threshold: Floats, members: NDArray[np.bool_], rights: Ints, first: int, last: int
) -> int:  # fmt: skip
    """Which leaf of a tree a row falls into, counted from the left."""
    at, end, leaf = first, last, 0
    while at < end:
        value, right = x[asked[at, 0]], first + rights[at]
        if asked[at, 2] >= 0:
            inside = members[asked[at, 2]]
            left = -1.0 < value < inside.size and inside[int(value)]
        else:
            left = asked[at, 1] == 1 if np.isnan(value) else value <= threshold[at]
        if left:
            at, end = at + 1, right
        else:
            at, leaf = right, leaf + right - at
    return leaf


@jit
def _add_up(
    matrix: Floats, asked: Ints, threshold: Floats, members: NDArray[np.bool_], trees: Ints,
    stays: NDArray[np.uint64], rights: Ints, leaves: Floats, begins: Ints, positions: Ints, scores: Floats,
) -> None:  # fmt: skip
    """Add up each row's leaves tree by tree, as LightGBM does; a few rows at a time stay near while the trees go by."""
    near = min(NEAR, matrix.shape[0])
    some = np.empty((matrix.shape[1], near))
    open_ = np.empty(near, dtype=np.uint64)
    every = np.uint64(0xFFFFFFFFFFFFFFFF)
    for begin in range(0, matrix.shape[0], NEAR):
        n = min(NEAR, matrix.shape[0] - begin)
        for row in range(n):
            for column in range(matrix.shape[1]):
                some[column, row] = matrix[begin + row, column]
        for tree in range(len(trees) - 1):
            first, last, leaf = trees[tree], trees[tree + 1], begins[tree]
            if last - first >= MOST_LEAVES or n < FEW:
                for row in range(n):
                    found = _walk(matrix[begin + row], asked, threshold, members, rights, first, last)
                    scores[begin + row] += leaves[leaf + found]
                continue
            open_[:n] = every
            for at in range(first, last):
                x, edge, stay = some[asked[at, 0]], threshold[at], stays[at]
                if asked[at, 2] >= 0:
                    inside = members[asked[at, 2]]
                    for row in range(n):
                        if not (-1.0 < x[row] < inside.size and inside[int(x[row])]):
                            open_[row] &= stay
                elif asked[at, 1]:
                    for row in range(n):
                        open_[row] &= stay if x[row] > edge else every
                else:
                    for row in range(n):
                        open_[row] &= every if x[row] <= edge else stay
            for row in range(n):
                left = open_[row]
                left &= ~left + np.uint64(1)  # its lowest bit
                scores[begin + row] += leaves[leaf + positions[(left * np.uint64(_SEQUENCE)) >> np.uint64(58)]]
