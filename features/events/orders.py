"""Rows that are lines of one order: the first begins it and is the event, the others only add what they hold."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from features.definition.numbers import order_keys
from features.definition.schema import Definition
from features.events.events import Events
from features.system.compiled import jit

#: so many orders of a user and signal are remembered: a line that comes after so many others begins another one
REMEMBERED = 16


@jit
def place_of(words: NDArray[np.int64], at: int, n: int, key: int) -> int:
    """Which of the places of remembered orders has a key; -1 where none has, and for the key 0, which is no key.

    Args:
        words: where the keys of orders are remembered.
        at: where those begin.
        n: how many orders there were.
        key: the key.
    """
    if key > 0:
        for i in range(min(n, REMEMBERED)):
            if words[at + i] == key:
                return i
    return -1


@jit
def begins(words: NDArray[np.int64], at: int, n: int, key: int) -> bool:
    """Whether a row begins an order; if so, it is remembered, in the place of the one `REMEMBERED` before.

    Args:
        words: where the keys of orders are remembered.
        at: where those begin.
        n: how many orders there were before.
        key: the key of the row's order; 0 where it has none, and is an order by itself.
    """
    if place_of(words, at, n, key) >= 0:
        return False
    words[at + n % REMEMBERED] = key
    return True


@jit
def _later_lines(
    starts: NDArray[np.int64], mask: NDArray[np.int64], keys: NDArray[np.float64], bit: int
) -> NDArray[np.bool_]:
    found, words = np.zeros(mask.size, dtype=np.bool_), np.zeros(REMEMBERED, dtype=np.int64)
    for u in range(starts.size - 1):
        n = 0
        for i in range(starts[u], starts[u + 1]):
            if mask[i] & bit:
                if begins(words, 0, n, np.int64(keys[i])):
                    n += 1
                else:
                    found[i] = True
    return found


def without_lines(events: Events, definition: Definition) -> Events:
    """The same events, in whose masks the later lines of an order are no events of its signal."""
    mask = events.mask
    for place, column in order_keys(definition):
        bit = 1 << place
        mask = np.where(_later_lines(events.starts, events.mask, events.values[:, column], bit), mask & ~bit, mask)
    return events if mask is events.mask else replace(events, mask=mask)
