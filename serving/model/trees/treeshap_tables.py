"""Trees cut into subtrees whose attributions are tabulated: what `attributions` looks up."""

from dataclasses import dataclass
from functools import cached_property

import numba as nb
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

#: a subtree's table has at most 2 to this many rows
MOST_BITS = 10
#: the answers to a tree's conditions are the bits of one number
MOST_NODES = 62
#: a leaf with conditions on more features than this is not tabulated
MOST_FEATURES = 12


@dataclass(frozen=True)
class _Node:
    """A node or leaf of a tree as LightGBM writes it."""

    content: dict[str, object]

    @property
    def inner(self) -> bool:
        return "split_feature" in self.content

    @property
    def column(self) -> int:
        return int(str(self.content["split_feature"]))

    @property
    def value(self) -> float:
        return float(str(self.content["leaf_value"]))

    @property
    def rows(self) -> float:
        """How many training rows reached it."""
        return float(str(self.content.get("internal_count", self.content.get("leaf_count", 0))))

    @cached_property
    def children(self) -> "tuple[_Node, _Node]":
        return _Node(self.content["left_child"]), _Node(self.content["right_child"])  # type: ignore[arg-type]

    @cached_property
    def size(self) -> int:
        """Inner nodes of the subtree."""
        return 1 + sum(child.size for child in self.children) if self.inner else 0


#: a condition on the way to a node: place of the asking node in its tree, goes left, column, share of rows going there
_Step = tuple[int, bool, int, float]


class Layout:
    """Collects trees, laid out as `attributions.Forest` describes."""

    def __init__(self) -> None:
        self.nodes: list[tuple[int, bool, bool, int]] = []
        self.threshold: list[float] = []
        self.sets: list[list[int]] = []
        self.trees = [(0, 0)]
        self.blocks: list[tuple[int, int, int, int, int]] = []
        self.above: list[tuple[int, int]] = []
        self.columns: list[int] = []
        self.tables: list[Floats] = []
        self.filled = 0

    def add(self, root: dict[str, object]) -> bool:
        """Add a tree; false when it is too large."""
        tree = _Node(root)
        if tree.size > MOST_NODES:
            return False
        done = self._cut(tree, 0, [])
        self.trees.append((len(self.nodes), len(self.blocks)))
        return done

    def _cut(self, node: _Node, place: int, path: list[_Step]) -> bool:
        """Cut a subtree whose root has a place in its tree (nodes are placed in preorder) into blocks."""
        above = len({column for _, _, column, _ in path})
        if node.size + above <= (MOST_BITS if node.inner else MOST_FEATURES):
            return self._block(node, place, path)
        if not node.inner:
            return False
        self._keep(node)
        left, right = node.children
        places = (place + 1, place + 1 + left.size)
        return self._cut(left, places[0], [*path, self._step(node, place, left=True)]) and self._cut(
            right, places[1], [*path, self._step(node, place, left=False)]
        )

    @staticmethod
    def _step(node: _Node, place: int, *, left: bool) -> _Step:
        child = node.children[0 if left else 1]
        return place, left, node.column, child.rows / node.rows

    def _keep(self, node: _Node) -> None:
        content = node.content
        category, threshold = -1, 0.0
        if content["decision_type"] == "==":
            category = len(self.sets)
            self.sets.append([int(c) for c in str(content["threshold"]).split("||")])
        else:
            threshold = float(str(content["threshold"]))
        self.nodes.append((node.column, bool(content["default_left"]), content["missing_type"] != "NaN", category))
        self.threshold.append(threshold)

    def _block(self, root: _Node, place: int, path: list[_Step]) -> bool:
        above = list(dict.fromkeys(column for _, _, column, _ in path))
        leaves = [(root, place, path)]
        found: list[tuple[_Node, list[_Step]]] = []
        while leaves:
            node, at, way = leaves.pop()
            if not node.inner:
                found.append((node, way))
                continue
            left, right = node.children
            leaves.append((right, at + 1 + left.size, [*way, self._step(node, at, left=False)]))
            leaves.append((left, at + 1, [*way, self._step(node, at, left=True)]))
            self._keep(node)  # left before right, so that nodes are kept in preorder
        columns = list(dict.fromkeys(column for _, way in found for _, _, column, _ in way))
        patterns = np.arange(1 << (root.size + len(above)))
        table = np.zeros((patterns.size, len(columns)))
        for leaf, way in found:
            players = list(dict.fromkeys(column for _, _, column, _ in way))
            if len(players) > MOST_FEATURES:
                return False
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
            table[:, [columns.index(c) for c in players]] += _shapley(leaf.value, share)[which]
        self.blocks.append((place, root.size, len(self.above), len(self.columns), self.filled))
        for column in above:
            steps = [(at, left_wanted) for at, left_wanted, c, _ in path if c == column]
            self.above.append((sum(1 << at for at, _ in steps), sum(1 << at for at, wanted in steps if wanted)))
        self.columns += columns
        self.tables.append(table.ravel())
        self.filled += table.size
        return True


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
