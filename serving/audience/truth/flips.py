"""When expressions over one user change if nothing happens, to the microsecond."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from features.expressions.expression import Expression
from features.expressions.program import Program
from features.time import Instants
from serving.audience.truth.edges import Rests, grid
from serving.audience.truth.profile import Reading
from serving.scoring.scorer import Scorer

Flags = NDArray[np.bool_]


def flips(
    reading: Reading, rules: Mapping[str, Expression], scorer: Scorer, since: int, until: int
) -> dict[str, int | None]:
    """The first instant at which each rule holds where it does not now, or the other way round.

    Args:
        reading: the user.
        rules: by name; rules and their parts alike.
        scorer: what answers.
        since: now.
        until: how far to look.

    Returns:
        Of each rule the first cutoff of another answer; None when there is none up to the end.
    """
    rests = Rests.of(rules.values(), scorer.definition, scorer.rfm)
    steady, asked = Program({sql: sql for sql in sorted(rests.comparisons)}), Program(rules)
    points = grid(since, until, rests.columns, scorer.definition)
    if steady.columns:
        changes = _truths(steady, reading, points)
        which, at = np.nonzero(changes[:, 1:] != changes[:, :-1])
        points = np.union1d(points, _bisected(steady, reading, which, points[at], points[at + 1]))
    found = _truths(asked, reading, points)
    other = found != found[:, :1]
    which = np.flatnonzero(other.any(axis=1))
    at = other[which].argmax(axis=1)
    exact = _bisected(asked, reading, which, points[at - 1], points[at])
    first = dict(zip(which.tolist(), exact.tolist(), strict=True))
    return {name: first.get(i) for i, name in enumerate(rules)}


def _truths(program: Program, reading: Reading, instants: Instants) -> Flags:
    """Where each rule of a program holds, ``[rules, instants]``."""
    return program.truths(reading.values(instants, program.columns), len(instants))


def _bisected(program: Program, reading: Reading, which: NDArray[np.int64], low: Instants, high: Instants) -> Instants:
    """The first instant of another answer than at ``low``, of rules that have one at ``high``; all at once."""
    low, high = low.copy(), high.copy()
    if not len(which):
        return high
    was = _truths(program, reading, low)[which, np.arange(len(which))]
    while (open_ := np.flatnonzero(high - low > 1)).size:
        middle = (low[open_] + high[open_]) // 2
        same = _truths(program, reading, middle)[which[open_], np.arange(len(open_))] == was[open_]
        low[open_[same]], high[open_[~same]] = middle[same], middle[~same]
    return high
