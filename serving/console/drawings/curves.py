"""A probability over time, as a drawing: its points, and the borders of the tiers."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

#: of the drawing, in its own units: its size, and room for words at the left and beneath
WIDTH, HEIGHT, LEFT, BELOW, ABOVE = 560, 160, 44, 22, 8


@dataclass(frozen=True, slots=True)
class Point:
    """A probability at an instant, and where it lies."""

    x: float
    y: float
    at: datetime
    probability: float


@dataclass(frozen=True, slots=True)
class Curve:
    """The drawing of an outcome.

    Attributes:
        outcome: which.
        points: the oldest first.
        line: the same as a line.
        most: where the border of the highest tier lies.
        least: where that of the lowest tier lies.
        top: the probability at the upper edge.
    """

    outcome: str
    points: list[Point]
    line: str
    most: float
    least: float
    top: float


def curve(outcome: str, points: Sequence[tuple[datetime, float]], most: float, least: float) -> Curve:
    """Lay out a probability over time.

    Args:
        outcome: of which.
        points: at least two, the oldest first.
        most: the highest tier begins here.
        least: the lowest tier ends here.
    """
    top = min(1.0, 1.1 * max([most, *(p for _, p in points)]))
    first, last = points[0][0], points[-1][0]
    span = (last - first).total_seconds() or 1.0
    found = [
        Point(LEFT + (WIDTH - LEFT - 10) * (at - first).total_seconds() / span, _y(p, top), at, p) for at, p in points
    ]
    # a probability holds until the next one is known
    line = " ".join(f"H{p.x:.1f} V{p.y:.1f}" for p in found[1:])
    return Curve(outcome, found, f"M{found[0].x:.1f} {found[0].y:.1f} {line}", _y(most, top), _y(least, top), top)


def _y(probability: float, top: float) -> float:
    return ABOVE + (HEIGHT - BELOW - ABOVE) * (1 - min(probability, top) / top)
