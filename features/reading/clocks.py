"""Events that a device dated by a clock that was never set: few of them, long before the rest of the log."""

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from features.time import DAY, to_datetime

#: events are counted by blocks of this length
BLOCK = 30 * DAY

#: of all events, more than this share before a gap are a part of the log
FEW = 0.05

#: a gap of this length is one in any log; in short logs one that is longer than all that follows
GAP = 365 * DAY


def blocks_of(t: NDArray[np.int64]) -> dict[int, int]:
    """How many events each block has, by its number since 1970."""
    blocks, counts = np.unique(t // BLOCK, return_counts=True)
    return dict(zip(blocks.tolist(), counts.tolist(), strict=True))


def together(counts: Iterable[Mapping[int, int]]) -> dict[int, int]:
    """Add counts of blocks."""
    whole: dict[int, int] = {}
    for some in counts:
        for block, n in some.items():
            whole[block] = whole.get(block, 0) + n
    return whole


def strays(blocks: Mapping[int, int], first: int, ends: int) -> str:
    """Say that few events lie long before the others.

    Args:
        blocks: how many events each block has.
        first: the instant of the earliest.
        ends: the log is complete through this instant; later events are left out of it.

    Returns:
        A sentence with their number, share and example, and what to do; empty where there are none.
    """
    there = sorted(block for block in blocks if block * BLOCK < ends)
    counts = np.array([blocks[block] for block in there], dtype=np.int64)
    before = np.cumsum(counts)
    for i in range(len(there) - 1, 0, -1):
        empty, rest = (there[i] - there[i - 1] - 1) * BLOCK, (there[-1] - there[i] + 1) * BLOCK
        if before[i - 1] <= FEW * before[-1] and (empty >= GAP or empty > rest):
            begins = to_datetime(there[i] * BLOCK)
            silent = f"{empty / GAP:.0f} years" if empty >= 2 * GAP else f"{empty / DAY:.0f} days"
            share = before[i - 1] / before[-1]
            return (
                f"{before[i - 1]:,} of {before[-1]:,} events ({share:.1%}) lie long before the others: the earliest is "
                f"at {to_datetime(first):%Y-%m-%d %H:%M:%S}, and nothing happened for {silent} before "
                f"{begins:%Y-%m-%d}. They count as the beginning of the log, and of their users. If clocks were "
                f"not set, leave them out: events.begins: {begins:%Y-%m-%d}."
            )
    return ""
