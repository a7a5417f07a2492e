"""What trees ask, as arrays."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from serving.model.numbers import Floats
from serving.model.trees.structure import Node, Split

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Conditions:
    """What trees ask, tree by tree, each before what follows on its left, and that before what follows on its right.

    Attributes:
        asked: ``[conditions, 3]``: column, whether NaN goes left, and the index of the set of categories or -1.
        threshold: of each; at most it goes left, and so does a member of the set.
        members: ``[sets, categories]``.
        trees: ``[trees + 1]``: where each tree begins.
    """

    asked: Ints
    threshold: Floats
    members: NDArray[np.bool_]
    trees: Ints

    @classmethod
    def of(cls, roots: list[Node]) -> Self:
        """Lay trees out."""
        splits = [list(_splits(root)) for root in roots]
        every = [split for tree in splits for split in tree]
        sets = [split.categories for split in every if split.categories is not None]
        members = np.zeros((len(sets), 1 + max((max(s, default=0) for s in sets), default=0)), dtype=np.bool_)
        for i, inside in enumerate(sets):
            members[i, list(inside)] = True
        numbers = iter(range(len(sets)))
        asked = [(s.column, s.missing_left, -1 if s.categories is None else next(numbers)) for s in every]
        return cls(
            np.array(asked, dtype=np.int64).reshape(-1, 3), np.array([s.threshold for s in every]), members,
            np.cumsum([0, *map(len, splits)]),
        )  # fmt: skip


def _splits(node: Node) -> Iterator[Split]:
    if isinstance(node, Split):
        yield node
        yield from _splits(node.left)
        yield from _splits(node.right)
