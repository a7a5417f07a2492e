"""Drawings of a page: where the parts of flows between states, and of sizes over time, lie."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from serving.console.catalogue import shown

#: of the drawing of flows, in its own units
WIDTH, HEIGHT, BAR, GAP, SIDE = 720, 320, 14, 8, 170

#: how many colours `style.css` has
COLOURS: Final = 8


@dataclass(frozen=True, slots=True)
class Flow:
    """Users who went from one state to another.

    Attributes:
        before: the state before.
        after: the state after.
        users: how many.
    """

    before: str
    after: str
    users: int


@dataclass(frozen=True, slots=True)
class Ribbon:
    """A flow in the drawing: its colour, outline and words."""

    colour: int
    path: str
    title: str


@dataclass(frozen=True, slots=True)
class Bar:
    """A state in the drawing: its colour and place, and where its name stands."""

    colour: int
    x: int
    y: float
    height: float
    text_x: int
    anchor: Literal["start", "end"]
    name: str


@dataclass(frozen=True, slots=True)
class Sankey:
    """Flows between two columns of states."""

    width: int
    height: int
    total: int
    ribbons: list[Ribbon]
    bars: list[Bar]


def sankey(flows: Sequence[Flow]) -> Sankey:
    """Lay out flows between two columns of states.

    Args:
        flows: at least one, the most users first.
    """
    total = sum(one.users for one in flows)
    scale = _scale(flows, total)
    left = _column([(one.before, one.users) for one in flows], scale)
    right = _column([(one.after, one.users) for one in flows], scale)
    colours = {name: i % COLOURS for i, name in enumerate(dict.fromkeys([*left, *right]))}
    starts, ends = ({name: y for name, (y, _) in column.items()} for column in (left, right))
    ribbons = []
    for one in flows:
        y0, y1, high = starts[one.before], ends[one.after], one.users * scale
        starts[one.before] += high
        ends[one.after] += high
        title = f"{one.before} → {one.after}: {shown(one.users)}"
        ribbons.append(Ribbon(colours[one.before], _path(y0, y1, high), title))
    at = WIDTH - SIDE - BAR
    bars = [Bar(colours[name], SIDE, y, max(high, 1), SIDE - 8, "end", name) for name, (y, high) in left.items()]
    bars += [Bar(colours[name], at, y, max(high, 1), at + BAR + 8, "start", name) for name, (y, high) in right.items()]
    return Sankey(WIDTH, HEIGHT, total, ribbons, bars)


def _scale(flows: Sequence[Flow], total: int) -> float:
    """Units of height of one user, so that the longer column fits."""
    most = max(len({one.before for one in flows}), len({one.after for one in flows}))
    return (HEIGHT - GAP * (most - 1)) / total


def _column(parts: Sequence[tuple[str, int]], scale: float) -> dict[str, tuple[float, float]]:
    """Where each state's bar begins, and how high it is."""
    sums: dict[str, int] = {}
    for name, users in parts:
        sums[name] = sums.get(name, 0) + users
    found, y = {}, 0.0
    for name, users in sorted(sums.items(), key=lambda item: -item[1]):
        found[name] = (y, users * scale)
        y += users * scale + GAP
    return found


def _path(y0: float, y1: float, high: float) -> str:
    x0, x1 = SIDE + BAR, WIDTH - SIDE - BAR
    middle = (x0 + x1) / 2
    return (
        f"M{x0} {y0:.1f}C{middle} {y0:.1f} {middle} {y1:.1f} {x1} {y1:.1f}V{y1 + high:.1f}"
        f"C{middle} {y1 + high:.1f} {middle} {y0 + high:.1f} {x0} {y0 + high:.1f}Z"
    )


def sparkline(sizes: Sequence[int]) -> str:
    """The points of sizes over time in a box of 120 × 30.

    Args:
        sizes: one a day, the oldest first; at least two.
    """
    low, high = min(sizes), max(sizes)
    span = (high - low) or 1
    return " ".join(
        f"{4 + 112 * i / (len(sizes) - 1):.1f},{26 - 22 * (size - low) / span:.1f}" for i, size in enumerate(sizes)
    )
