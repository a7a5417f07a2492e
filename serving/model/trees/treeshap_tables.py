"""Trees cut into subtrees whose attributions are tabulated: what `treeshap_bulk` looks up."""

from collections.abc import Iterator

import numba as nb
import numpy as np
from numpy.typing import NDArray

from serving.model.trees.structure import Leaf, Node, Split

Floats = NDArray[np.float64]

#: a subtree's table has at most 2 to this many patterns; one of a leaf alone 2 to `MOST_FEATURES`
MOST_BITS = 9
#: the answers to a tree's conditions are the bits of one number
MOST_NODES = 62
#: a leaf with conditions on more features than this is not tabulated
MOST_FEATURES = 12

#: a condition on the way to a node: its place in its tree, goes left, column, share of rows going there
Step = tuple[int, bool, int, float]


class Layout:
    """Collects trees, laid out as `treeshap_bulk.Tables` describes."""

    def __init__(self) -> None:
        self.trees = [0]
        self.blocks: list[tuple[int, int, int, int, int]] = []
        self.above: list[tuple[int, int]] = []
        self.columns: list[int] = []
        self.tables: list[Floats] = []
        self.filled = 0

    def add(self, root: Node) -> None:
        """Add a tree; one that is too large gets no blocks."""
        if tabulated(root):
            self._cut(root, 0, [])
        self.trees.append(len(self.blocks))

    def _cut(self, node: Node, place: int, path: list[Step]) -> None:
        """Cut a subtree whose root has a place in its tree into blocks."""
        above = len({column for _, _, column, _ in path})
        if isinstance(node, Leaf) or node.size + above <= MOST_BITS:
            self._block(node, place, path)
            return
        for child, at, step in _children(node, place):
            self._cut(child, at, [*path, step])

    def _block(self, root: Node, place: int, path: list[Step]) -> None:
        above = list(dict.fromkeys(column for _, _, column, _ in path))
        found = list(ways(root, place, path))
        columns = list(dict.fromkeys(column for _, way in found for _, _, column, _ in way))
        patterns = np.arange(1 << (root.size + len(above)))
        table = np.zeros((len(columns), patterns.size))
        for leaf, way in found:
            players = list(dict.fromkeys(column for _, _, column, _ in way))
            share = np.ones(len(players))
            met = np.ones((len(players), patterns.size), dtype=np.bool_)
            for at, left_wanted, column, part in way:
                player = players.index(column)
                share[player] *= part
                if at >= place:
                    met[player] &= (patterns >> (at - place) & 1) == left_wanted
                else:
                    met[player] &= (patterns >> (root.size + above.index(column)) & 1) == 1
            which = (met.astype(np.int64) << np.arange(len(players))[:, None]).sum(axis=0)
            table[[columns.index(c) for c in players]] += _shapley(leaf.value, share)[which].T
        self.blocks.append((place, root.size, len(self.above), len(self.columns), self.filled))
        for column in above:
            steps = [(at, left_wanted) for at, left_wanted, c, _ in path if c == column]
            self.above.append((sum(1 << at for at, _ in steps), sum(1 << at for at, wanted in steps if wanted)))
        self.columns += columns
        self.tables.append(table.T.ravel())
        self.filled += table.size


def tabulated(root: Node) -> bool:
    """Whether a tree is small enough for tables."""
    columns = (len({column for _, _, column, _ in way}) for _, way in ways(root, 0, []))
    return root.size <= MOST_NODES and max(columns) <= MOST_FEATURES


def ways(node: Node, place: int, path: list[Step]) -> Iterator[tuple[Leaf, list[Step]]]:
    """The leaves of a subtree, each with the way to it from the root of its tree.

    Args:
        node: the root of the subtree.
        place: how many conditions of its tree come before it.
        path: the way to it.
    """
    if isinstance(node, Leaf):
        yield node, path
        return
    for child, at, step in _children(node, place):
        yield from ways(child, at, [*path, step])


def _children(node: Split, place: int) -> tuple[tuple[Node, int, Step], tuple[Node, int, Step]]:
    """What follows on the left and on the right, its place, and the step to it."""
    left, right = node.left, node.right
    return (
        (left, place + 1, (place, True, node.column, left.rows / node.rows)),
        (right, place + 1 + left.size, (place, False, node.column, right.rows / node.rows)),
    )


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _shapley(value: float, share: Floats) -> Floats:
    """Shapley values of one leaf for every pattern of met conditions, ``[patterns, columns]``."""
    d = share.size
    table = np.zeros((1 << d, d))
    product = np.empty(d + 1)
    for pattern in range(1 << d):
        for i in range(d):
            # coefficients of prod over the others of (share + met * x), by how many of them are known
            product[0] = 1.0
            n = 0
            for j in range(d):
                if j != i:
                    met = pattern >> j & 1
                    product[n + 1] = 0.0
                    for k in range(n, -1, -1):
                        product[k + 1] += product[k] * met
                        product[k] *= share[j]
                    n += 1
            total, weight = 0.0, 1.0 / d  # |S|! (d - |S| - 1)! / d!
            for k in range(d):
                total += weight * product[k]
                if k < d - 1:
                    weight *= (k + 1) / (d - k - 1)
            table[pattern, i] = value * total * ((pattern >> i & 1) - share[i])
    return table
