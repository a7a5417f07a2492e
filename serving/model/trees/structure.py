"""Trees in LightGBM's text format, read without LightGBM.

Importing it takes a second, and it ends the process on a damaged file.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

N = TypeVar("N", int, float)

#: bits of LightGBM's ``decision_type``: a split by category; missing goes left; and what is missing (2 bits)
_CATEGORY, _LEFT, _MISSING = 1, 2, 2
#: what is missing: nothing, NaN is 0; 0; NaN
_AS_ZERO, _ZERO, _NAN = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Leaf:
    """Where a path ends.

    Attributes:
        value: what it adds to the score.
        rows: how many rows reached it in fitting.
    """

    value: float
    rows: float

    @property
    def size(self) -> int:
        """A leaf asks nothing."""
        return 0


@dataclass(frozen=True, slots=True)
class Split:
    """A condition: a row whose column is at most the threshold, or one of the categories, goes left.

    Attributes:
        column: which column is asked.
        threshold: of a number.
        categories: the codes that go left; None where the column is a number.
        missing_left: whether NaN goes left.
        rows: how many rows reached it in fitting.
        left, right: what follows.
        size: conditions in it and below it.
    """

    column: int
    threshold: float
    categories: tuple[int, ...] | None
    missing_left: bool
    rows: float
    left: "Node"
    right: "Node"
    size: int


Node = Leaf | Split


def read(text: str) -> tuple[int, list[Node]]:
    """Read a booster.

    Args:
        text: as ``Booster.model_to_string`` writes it.

    Returns:
        How many columns it reads, and the root of each tree.

    Raises:
        ValueError: it is cut off or damaged, or of a kind whose score is not the sum of its trees' leaves.
    """
    head, *blocks = text.split("\nTree=")
    header = _fields(head)
    if not head.startswith("tree\n") or "max_feature_idx" not in header:
        raise ValueError("it does not begin as a LightGBM model does")
    if header.get("num_tree_per_iteration") != "1" or "average_output" in head.splitlines():
        raise ValueError("it is a LightGBM model of several classes or a random forest, not of a single score")
    if "\nend of trees\n" not in text:
        raise ValueError("it ends before its trees do")
    columns = int(header["max_feature_idx"]) + 1
    trees = list(map(_Tree.of, blocks))
    if len(trees) != len(header.get("tree_sizes", "").split()):
        raise ValueError(f"it holds {len(trees)} trees, and its header says otherwise")
    return columns, [tree.root(columns) for tree in trees]


def _fields(text: str) -> dict[str, str]:
    """Lines of ``name=value``."""
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)


@dataclass(frozen=True, slots=True)
class _Tree:
    """A tree as the text lists it: entry by entry of its splits, and of its leaves."""

    columns: list[int]
    thresholds: list[float]
    kinds: list[int]
    lefts: list[int]
    rights: list[int]
    rows: list[float]
    values: list[float]
    leaf_rows: list[float]
    begins: list[int]
    words: list[int]

    @classmethod
    def of(cls, block: str) -> "_Tree":
        fields = _fields(block.partition("\n\n")[0])
        if fields.get("is_linear", "0") != "0":
            raise ValueError("it holds trees with regressions in their leaves")
        leaves = int(fields["num_leaves"]) if "num_leaves" in fields else 0
        splits = leaves - 1
        tree = cls(
            columns=_numbers(fields, "split_feature", splits, int),
            thresholds=_numbers(fields, "threshold", splits, float),
            kinds=_numbers(fields, "decision_type", splits, int),
            lefts=_numbers(fields, "left_child", splits, int),
            rights=_numbers(fields, "right_child", splits, int),
            rows=_numbers(fields, "internal_count", splits, float),
            values=_numbers(fields, "leaf_value", leaves, float),
            leaf_rows=_numbers(fields, "leaf_count", leaves if splits else 0, float) or [0.0],
            begins=[int(one) for one in fields.get("cat_boundaries", "").split()],
            words=[int(one) for one in fields.get("cat_threshold", "").split()],
        )
        if leaves < 1:
            raise ValueError("a tree of it has no leaves")
        return tree

    def root(self, columns: int) -> Node:
        """The tree from its root; every split and leaf belongs to it once."""
        met = list[int]()
        root = self._node(0 if self.columns else ~0, columns, met)
        if len(met) != len(self.columns) + len(self.values):
            raise ValueError("a tree of it has parts that no path leads to")
        return root

    def _node(self, at: int, columns: int, met: list[int]) -> Node:
        met.append(at)
        if not -len(self.values) <= at < len(self.columns) or len(met) > len(self.columns) + len(self.values):
            raise ValueError("a path of a tree of it leads nowhere")
        if at < 0:
            return Leaf(self.values[~at], self.leaf_rows[~at])
        if not 0 <= self.columns[at] < columns:
            raise ValueError(f"a tree asks for column {self.columns[at]} of {columns}")
        left, right = (self._node(children[at], columns, met) for children in (self.lefts, self.rights))
        kind, threshold, categories = self.kinds[at], self.thresholds[at], None
        if kind & _CATEGORY:
            categories = tuple(self._categories(int(threshold)))
        return Split(
            self.columns[at], threshold, categories, self._missing_left(kind, threshold), self.rows[at], left, right,
            1 + left.size + right.size,
        )  # fmt: skip

    @staticmethod
    def _missing_left(kind: int, threshold: float) -> bool:
        """Whether NaN goes left: as fitting found; or as 0 does, where nothing was missing in fitting."""
        missing = kind >> _MISSING & 3
        if kind & _CATEGORY:
            return False
        if missing == _ZERO:
            raise ValueError("it was fitted with zero_as_missing")
        return bool(kind & _LEFT) if missing == _NAN else threshold >= 0.0

    def _categories(self, which: int) -> Iterator[int]:
        """The codes of a set: bits of its words of 32."""
        if not 0 <= which < len(self.begins) - 1 or self.begins[which + 1] > len(self.words):
            raise ValueError("a tree asks for a set of categories that is not there")
        for place, word in enumerate(self.words[self.begins[which] : self.begins[which + 1]]):
            yield from (32 * place + bit for bit in range(32) if word >> bit & 1)


def _numbers(fields: Mapping[str, str], name: str, count: int, kind: type[N]) -> list[N]:
    found = [kind(one) for one in fields.get(name, "").split()] if count > 0 else []
    if len(found) != max(count, 0):
        raise ValueError(f"a tree of it has {len(found)} numbers of {name} instead of {count}")
    return found
