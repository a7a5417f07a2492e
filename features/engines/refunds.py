"""Rows that take value away, in SQL that DuckDB and Spark read alike: a refund is no event of its signal.

A row is a refund of a signal with a value where the signal's ``refund`` holds, or where ``where`` holds and the value
is below 0. Its mask has no bit of that signal but `REFUND`, and its value is below 0 however it is written. Such a row
has values of the signals that it fires or takes away from; of all other signals they are 0.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from features.definition.schema import Definition
from features.expressions.dialects import Dialect, written

#: a bit of a mask that no signal has
REFUND = 1 << 60


def valued_bits(definition: Definition) -> list[tuple[int, int]]:
    """Of each signal with a value the column of its value, and its bit in a mask."""
    places = list(definition.signals)
    return [(i, 1 << places.index(name)) for i, name in enumerate(definition.valued)]


def refunded_sql(definition: Definition, dialect: Dialect) -> str:
    """SQL over the log's columns: the signals whose ``refund`` holds, as bits."""
    bits = [
        f"CASE WHEN ({written(rule.refund, dialect)}) THEN {1 << i} ELSE 0 END"
        for i, rule in enumerate(definition.signals.values())
        if rule.refund is not None
    ]
    return f"CAST({' + '.join(bits) or '0'} AS BIGINT)"


def taken_sql(definition: Definition) -> str:
    """SQL over ``mask``, ``v0…`` and ``refunded``: the signals from which a row takes value away, as bits."""
    below = (f" | CASE WHEN v{i} < 0 THEN mask & {bit} ELSE 0 END" for i, bit in valued_bits(definition))
    return f"refunded{''.join(below)}"


def without_refunds(definition: Definition) -> Iterator[tuple[str, str]]:
    """Columns of values, and ``mask``, as SQL over the same and ``taken``."""
    for i, bit in valued_bits(definition):
        of_refund = f"WHEN (taken & {bit}) <> 0 THEN 0.0 - abs(v{i}) WHEN (mask & {bit}) <> 0 THEN v{i} ELSE 0.0"
        yield f"v{i}", f"CASE WHEN taken = 0 THEN v{i} {of_refund} END"
    yield "mask", f"CASE WHEN taken = 0 THEN mask ELSE (mask & ~taken) | {REFUND} END"


def take_out(
    mask: NDArray[np.int64], values: NDArray[np.float64], valued: list[tuple[int, int]]
) -> tuple[NDArray[np.int64], NDArray[np.float64]] | None:
    """The same for rows that were read when a value below 0 was an event; None where there is no such row."""
    taken = np.zeros_like(mask)
    for i, bit in valued:
        taken |= np.where(values[:, i] < 0, mask & bit, 0)
    some = taken != 0
    if not some.any():
        return None
    values = values.copy()
    for i, bit in valued:
        values[some & ((mask & bit) == 0), i] = 0.0
    return np.where(some, (mask & ~taken) | REFUND, mask), values
