"""Merges that can be asked for by their ids, without a look at all of them."""

from collections.abc import Iterable, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from features.identities.merges import MERGES, is_nobody


class MergeIndex:
    """Merges, sorted by both of their ids.

    Args:
        merges: `MERGES`.
    """

    def __init__(self, merges: pl.DataFrame) -> None:
        self.merges = merges
        orders = (merges[name].arg_sort().to_numpy() for name in ("alias", "user"))
        self._by = [(merges[name].gather(order), order) for name, order in zip(("alias", "user"), orders, strict=True)]

    def of(self, ids: pl.Series) -> pl.DataFrame:
        """The merges that name any of some ids."""
        rows: list[NDArray[np.uint32]] = []
        for keys, order in self._by:
            begins, ends = (keys.search_sorted(ids, side=side).to_numpy() for side in ("left", "right"))
            rows += [order[lo:hi] for lo, hi in zip(begins.tolist(), ends.tolist(), strict=True) if lo < hi]
        return self.merges[np.unique(np.concatenate(rows))] if rows else self.merges.clear()


def together(parts: Sequence[MergeIndex], ids: Iterable[str]) -> pl.DataFrame:
    """All merges that those of some ids rest on, `MERGES`.

    Words for nobody join nobody: of the merges that name one, only those of the other ids are among them.

    Args:
        parts: where merges are.
        ids: ids.
    """
    asked, new, found = set(ids), set(ids), [MERGES.to_frame()]
    while new:
        some = pl.DataFrame({"id": sorted(new)}).filter(~is_nobody("id"))["id"]
        found += (near := [part.of(some) for part in parts])
        named = pl.concat(near)
        new = {*named["alias"], *named["user"]} - asked
        asked |= new
    return pl.concat(found).unique()
