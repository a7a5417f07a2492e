"""Exact attributions of a booster in bulk: the numbers of LightGBM's ``pred_contrib``, from tables made once.

Path-dependent TreeSHAP (Lundberg et al. 2020) depends on a row only through the yes or no of a tree's conditions. A
tree is cut into subtrees small enough that every pattern of answers, those on the way to the subtree and those inside
it, has its attributions in a table (the idea of Woodelf, Nadel and Wettenstein 2025, taken from leaves to subtrees,
and to splits by category, which Woodelf's package refuses); a row is looked up subtree by subtree.
"""

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numba as nb
import numpy as np
from numpy.typing import NDArray

from features.parallel import cores, each

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

#: a subtree's table has at most 2 to this many rows
MOST_BITS = 10
#: the answers to a tree's conditions are the bits of one number
MOST_NODES = 62
#: a leaf with conditions on more features than this is not tabulated
MOST_FEATURES = 12
#: rows that are looked up together
NEAR = 256
#: rows from which on making the tables pays
WORTHWHILE = 256

# nothing here is compiled into another file's code, so numba's own cache sees every change
jit = nb.njit(cache=True, nogil=True, error_model="numpy")


@dataclass(frozen=True)
class Forest:
    """Trees as arrays.

    Attributes:
        nodes: ``[nodes]``: column, default_left, nan_is_zero, and index of the set of categories or -1.
        threshold: of each node; at most it goes left, and so does a member of the set.
        members: ``[sets, categories]``.
        trees: ``[trees + 1]``: where each tree's nodes and blocks begin.
        blocks: ``[blocks]``: first node and number of nodes of a subtree, where its bits above and its features begin,
            and where its table begins.
        above: ``[bits]``: the conditions on the way to a subtree, those on one column together, as a mask of the
            tree's nodes and the answers wanted.
        columns: the columns that each subtree's table has numbers for.
        tables: of each subtree, ``[patterns, columns]`` flattened.
    """

    nodes: Ints
    threshold: Floats
    members: NDArray[np.bool_]
    trees: Ints
    blocks: Ints
    above: Ints
    columns: Ints
    tables: Floats

    @classmethod
    def of(cls, trees: list[dict[str, object]]) -> "Forest | None":
        """Lay out trees as LightGBM dumps them (``tree_structure``); None when one is too large for tables."""
        layout = _Layout()
        return layout.forest() if all(layout.add(tree) for tree in trees) else None

    def effects(self, matrix: Floats) -> Floats:
        """Attributions ``[rows, columns]`` on the log-odds, on all cores."""
        answer = np.zeros(matrix.shape)
        matrix = np.ascontiguousarray(matrix)
        edges = np.linspace(0, len(matrix), cores() + 1).astype(np.int64).tolist()

        def work(part: tuple[int, int]) -> None:
            rows = slice(*part)
            _look_up(matrix[rows], self.nodes, self.threshold, self.members, self.trees, self.blocks, self.above,
                     self.columns, self.tables, answer[rows])  # fmt: skip

        for _ in each(pairwise(edges), work):
            pass
        return answer


@dataclass(frozen=True)
class _Node:
    """A node or leaf of a tree as LightGBM writes it."""

    said: dict[str, object]

    @property
    def inner(self) -> bool:
        return "split_feature" in self.said

    @property
    def column(self) -> int:
        return int(str(self.said["split_feature"]))

    @property
    def value(self) -> float:
        return float(str(self.said["leaf_value"]))

    @property
    def rows(self) -> float:
        """How many training rows reached it."""
        return float(str(self.said.get("internal_count", self.said.get("leaf_count", 0))))

    @cached_property
    def children(self) -> "tuple[_Node, _Node]":
        return _Node(self.said["left_child"]), _Node(self.said["right_child"])  # type: ignore[arg-type]

    @cached_property
    def size(self) -> int:
        """Inner nodes of the subtree."""
        return 1 + sum(child.size for child in self.children) if self.inner else 0


#: a condition on the way to a node: place of the asking node in its tree, goes left, column, share of rows going there
_Step = tuple[int, bool, int, float]


class _Layout:
    """Collects trees."""

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
        said = node.said
        category, threshold = -1, 0.0
        if said["decision_type"] == "==":
            category = len(self.sets)
            self.sets.append([int(c) for c in str(said["threshold"]).split("||")])
        else:
            threshold = float(str(said["threshold"]))
        self.nodes.append((node.column, bool(said["default_left"]), said["missing_type"] != "NaN", category))
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

    def forest(self) -> Forest:
        members = np.zeros((len(self.sets), 1 + max((max(s) for s in self.sets), default=0)), dtype=np.bool_)
        for i, inside in enumerate(self.sets):
            members[i, inside] = True
        end = (0, 0, len(self.above), len(self.columns), self.filled)
        return Forest(
            nodes=np.array(self.nodes, dtype=np.int64).reshape(-1, 4),
            threshold=np.array(self.threshold),
            members=members,
            trees=np.array(self.trees),
            blocks=np.array([*self.blocks, end]),
            above=np.array(self.above, dtype=np.int64).reshape(-1, 2),
            columns=np.array(self.columns, dtype=np.int64),
            tables=np.concatenate([np.zeros(0), *self.tables]),
        )


@jit
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


@jit
def _look_up(
    matrix: Floats, nodes: Ints, threshold: Floats, members: NDArray[np.bool_], trees: Ints, blocks: Ints, above: Ints,
    columns: Ints, tables: Floats, answer: Floats,
) -> None:  # fmt: skip
    """Add up each row's subtrees; a few rows at a time stay near while the trees go by."""
    answers = np.empty(NEAR, dtype=np.int64)
    pattern = np.empty(NEAR, dtype=np.int64)
    for begin in range(0, matrix.shape[0], NEAR):
        n = min(NEAR, matrix.shape[0] - begin)
        some = matrix[begin : begin + n].T.copy()
        sums = np.zeros((matrix.shape[1], n))
        for tree in range(len(trees) - 1):
            answers[:n] = 0
            for node in range(trees[tree, 0], trees[tree + 1, 0]):
                _ask(some[nodes[node, 0]], nodes[node], threshold[node], members, node - trees[tree, 0], answers)
            for block in range(trees[tree, 1], trees[tree + 1, 1]):
                place, size, bits = blocks[block, 0], blocks[block, 1], blocks[block, 2]
                width = blocks[block + 1, 3] - blocks[block, 3]
                inside = (1 << size) - 1
                for row in range(n):
                    pattern[row] = (answers[row] >> place) & inside
                for bit in range(bits, blocks[block + 1, 2]):
                    mask, wanted, shift = above[bit, 0], above[bit, 1], size + bit - bits
                    for row in range(n):
                        pattern[row] |= np.int64((answers[row] & mask) == wanted) << shift
                table = tables[blocks[block, 4] : blocks[block + 1, 4]]
                for i in range(width):
                    column = sums[columns[blocks[block, 3] + i]]
                    for row in range(n):
                        column[row] += table[pattern[row] * width + i]
        answer[begin : begin + n] = sums.T


@jit
def _ask(x: Floats, node: Ints, threshold: float, members: NDArray[np.bool_], place: int, answers: Ints) -> None:
    """Set a bit in the answers of the rows that go left at a node."""
    if node[3] >= 0:
        inside = members[node[3]]
        for row in range(x.size):
            left = 0 <= x[row] < inside.size and inside[int(x[row])]
            answers[row] |= np.int64(left) << place
    elif (threshold >= 0.0) if node[2] else node[1]:  # where missing values go
        for row in range(x.size):
            answers[row] |= np.int64(not (x[row] > threshold)) << place
    else:
        for row in range(x.size):
            answers[row] |= np.int64(x[row] <= threshold) << place
