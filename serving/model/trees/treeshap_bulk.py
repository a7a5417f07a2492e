"""Exact attributions of a booster in bulk: the numbers of LightGBM's ``pred_contrib``, from tables made once.

Path-dependent TreeSHAP (Lundberg et al. 2020) depends on a row only through the yes or no of a tree's conditions. A
tree is cut into subtrees small enough that every pattern of answers, those on the way to the subtree and those inside
it, has its attributions in a table (the idea of Woodelf, Nadel and Wettenstein 2025, taken from leaves to subtrees,
and to splits by category, which Woodelf's package refuses); a row is looked up subtree by subtree.
"""

from dataclasses import dataclass
from itertools import pairwise

import numba as nb
import numpy as np
from numpy.typing import NDArray

from features.system.parallel import each
from serving.model.numbers import Floats
from serving.model.trees.conditions import Conditions, Ints
from serving.model.trees.structure import Node
from serving.model.trees.treeshap_tables import Layout

#: rows that are looked up together: a column of theirs, their patterns and a column of a table fit the nearest cache,
#: and each table is fetched once for all of them
NEAR = 1_024

# nothing here is compiled into another file's code, so numba's own cache sees every change
jit = nb.njit(cache=True, nogil=True, error_model="numpy")


@dataclass(frozen=True)
class Tables:
    """Trees cut into subtrees.

    Attributes:
        conditions: what they ask.
        trees: ``[trees + 1]``: where each tree's blocks begin.
        blocks: ``[blocks + 1]``: first condition and number of conditions of a subtree, where its bits above and its
            features begin, and where its table begins.
        above: ``[bits]``: the conditions on the way to a subtree, those on one column together, as a mask of the
            tree's conditions and the answers wanted.
        columns: the columns that each subtree's table has numbers for.
        tables: of each subtree, ``[patterns, columns]`` flattened: what a row needs of it lies together.
    """

    conditions: Conditions
    trees: Ints
    blocks: Ints
    above: Ints
    columns: Ints
    tables: Floats

    @classmethod
    def of(cls, roots: list[Node], conditions: Conditions) -> "Tables":
        """Tabulate trees, but for those that are too large."""
        layout = Layout()
        for root in roots:
            layout.add(root)
        end = (0, 0, len(layout.above), len(layout.columns), layout.filled)
        return cls(
            conditions,
            trees=np.array(layout.trees),
            blocks=np.array([*layout.blocks, end]),
            above=np.array(layout.above, dtype=np.int64).reshape(-1, 2),
            columns=np.array(layout.columns, dtype=np.int64),
            tables=np.concatenate([np.zeros(0), *layout.tables]),
        )

    def effects(self, matrix: Floats, parts: int) -> Floats:
        """Attributions ``[rows, columns]`` of the trees that have tables, in so many parts, each on a core."""
        answer, asks = np.zeros(matrix.shape), self.conditions
        edges = np.linspace(0, len(matrix), parts + 1).astype(np.int64).tolist()

        def work(part: tuple[int, int]) -> None:
            rows = slice(*part)
            _look_up(matrix[rows], asks.asked, asks.threshold, asks.members, asks.trees, self.trees, self.blocks,
                     self.above, self.columns, self.tables, answer[rows])  # fmt: skip

        for _ in each(pairwise(edges), work) if parts > 1 else map(work, pairwise(edges)):
            pass
        return answer


@jit
def _look_up(
    matrix: Floats, asked: Ints, threshold: Floats, members: NDArray[np.bool_], trees: Ints, cuts: Ints, blocks: Ints,
    above: Ints, columns: Ints, tables: Floats, answer: Floats,
) -> None:  # fmt: skip
    """Add up each row's subtrees; a few rows at a time stay near while the trees go by."""
    answers = np.empty(NEAR, dtype=np.int64)
    pattern = np.empty(NEAR, dtype=np.uint16)
    for begin in range(0, matrix.shape[0], NEAR):
        n = min(NEAR, matrix.shape[0] - begin)
        some = matrix[begin : begin + n].T.copy()
        sums = np.zeros((matrix.shape[1], n))
        for tree in range(len(trees) - 1):
            if cuts[tree] == cuts[tree + 1]:
                continue
            answers[:n] = 0
            for at in range(trees[tree], trees[tree + 1]):
                _ask(some[asked[at, 0]], asked[at], threshold[at], members, at - trees[tree], answers)
            for block in range(cuts[tree], cuts[tree + 1]):
                place, size, bits = blocks[block, 0], blocks[block, 1], blocks[block, 2]
                width = blocks[block + 1, 3] - blocks[block, 3]
                inside = (1 << size) - 1
                for row in range(n):
                    pattern[row] = (answers[row] >> place) & inside
                for bit in range(bits, blocks[block + 1, 2]):
                    mask, wanted, shift = above[bit, 0], above[bit, 1], size + bit - bits
                    for row in range(n):
                        pattern[row] |= np.uint16((answers[row] & mask) == wanted) << shift
                for row in range(n):
                    pattern[row] *= np.uint16(width)
                for i in range(width):
                    column = sums[columns[blocks[block, 3] + i]]
                    table = tables[blocks[block, 4] + i : blocks[block + 1, 4]]
                    for row in range(n):
                        column[row] += table[pattern[row]]
        for row in range(n):  # by hand: an assignment of arrays would be compiled with words for other shapes
            for c in range(sums.shape[0]):
                answer[begin + row, c] = sums[c, row]


@jit
def _ask(x: Floats, asks: Ints, threshold: float, members: NDArray[np.bool_], place: int, answers: Ints) -> None:
    """Set a bit in the answers of the rows that go left at a condition."""
    if asks[2] >= 0:
        inside = members[asks[2]]
        for row in range(x.size):
            left = -1.0 < x[row] < inside.size and inside[int(x[row])]
            answers[row] |= np.int64(left) << place
    elif asks[1]:  # so does what is missing
        for row in range(x.size):
            answers[row] |= np.int64(not (x[row] > threshold)) << place
    else:
        for row in range(x.size):
            answers[row] |= np.int64(x[row] <= threshold) << place
