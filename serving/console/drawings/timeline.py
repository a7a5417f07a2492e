"""A timeline: what a user did and what they were, on one axis."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from serving.console.drawings.flows import COLOURS
from serving.desk.user_events import UserEvent
from serving.desk.user_history import TransitionRecord

#: where an instant lies
Place = Callable[[datetime], float]

#: of the drawing, in its own units: its width, where lanes begin and end, and how high one is
WIDTH, LEFT, RIGHT, LANE = 900, 150, 30, 24

#: a name is written into a state's bar where so many units of each letter fit
LETTER = 7.0

#: so many events that lie on one another are named
NAMED = 8

#: no more of the past is drawn
LONGEST = timedelta(days=365)


@dataclass(frozen=True, slots=True)
class Span:
    """A state while it lasted: its place, its colour, and its words."""

    x: float
    width: float
    colour: int
    name: str
    title: str

    @property
    def fits(self) -> bool:
        """Whether its name can be read in it."""
        return self.width > LETTER * len(self.name) + 8


@dataclass(frozen=True, slots=True)
class Mark:
    """Events that lie on one another in the drawing, or a transition."""

    x: float
    title: str


@dataclass(frozen=True, slots=True)
class Lane:
    """The marks of a signal, or of transitions."""

    y: float
    name: str
    marks: list[Mark]


@dataclass(frozen=True, slots=True)
class Timeline:
    """The drawing.

    Attributes:
        height: in its own units.
        first, last: the instants at its ends.
        states: the states, each while it lasted.
        lanes: transitions of segments and tiers, then each signal that fired.
        months: where months begin, and how they are written.
    """

    height: int
    first: datetime
    last: datetime
    states: list[Span]
    lanes: list[Lane]
    months: list[tuple[float, str]]


def timeline(
    events: Sequence[UserEvent], transitions: Sequence[TransitionRecord], now: datetime, moved: str
) -> Timeline | None:
    """Lay out what a user did and was; None where nothing is known of them.

    Args:
        events: of a user.
        transitions: of the same.
        now: the right end.
        moved: what the lane of transitions is called.
    """
    instants = [at for at in (*(e.at for e in events), *(t.at for t in transitions)) if at <= now]
    if not instants:
        return None
    first = max(min(instants), now - LONGEST)
    scale = (WIDTH - LEFT - RIGHT) / ((now - first).total_seconds() or 1.0)

    def x(at: datetime) -> float:
        seconds: float = (max(at, first) - first).total_seconds()
        return LEFT + scale * seconds

    changes = [one for one in transitions if one.dimension != "states" and first <= one.at <= now]
    words = [(x(t.at), f"{t.at:%Y-%m-%d %H:%M} {t.dimension}: {t.before or '–'} → {t.after or '–'}") for t in changes]
    rows = [(moved, words)] if words else []
    for signal in dict.fromkeys(name for one in events for name in one.signals):
        fired = [one.at for one in events if signal in one.signals and first <= one.at <= now]
        rows.append((signal, [(x(at), f"{at:%Y-%m-%d %H:%M}") for at in fired]))
    lanes = [Lane(LANE * (i + 1), name, _together(marks)) for i, (name, marks) in enumerate(rows)]
    states = _states([one for one in transitions if one.dimension == "states"], first, now, x)
    return Timeline(LANE * (len(lanes) + 1) + 22, first, now, states, lanes, _months(first, now, x))


def _states(moves: Sequence[TransitionRecord], first: datetime, now: datetime, x: Place) -> list[Span]:
    """The states between their transitions."""
    moves = sorted((one for one in moves if one.at <= now), key=lambda one: one.at)
    if not moves:
        return []
    spans = [(first, moves[0].before), *((one.at, one.after) for one in moves)]
    colours = {name: i % COLOURS for i, name in enumerate(dict.fromkeys(name for _, name in spans if name))}
    found = []
    for (begins, name), (until, _) in pairwise([*spans, (now, None)]):
        if name is not None and until > first:
            title = f"{name}: {max(begins, first):%Y-%m-%d} – {until:%Y-%m-%d}"
            found.append(Span(x(begins), max(x(until) - x(begins), 1.0), colours[name], name, title))
    return found


def _together(marks: Sequence[tuple[float, str]]) -> list[Mark]:
    """Marks of which no two lie on one another; thousands would make a page heavy and show no more."""
    places: dict[int, list[str]] = {}
    for place, title in marks:
        places.setdefault(round(place), []).append(title)
    return [Mark(place, _in_short(titles)) for place, titles in places.items()]


def _in_short(titles: Sequence[str]) -> str:
    more = f"\n… {len(titles) - NAMED} more" if len(titles) > NAMED else ""
    return "\n".join(titles[:NAMED]) + more


def _months(first: datetime, now: datetime, x: Place) -> list[tuple[float, str]]:
    """Where months begin; every other or third one where there are many."""
    starts = []
    at = first.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    while at <= now:
        if at >= first:
            starts.append(at)
        at = (at + timedelta(days=32)).replace(day=1)
    return [(x(at), f"{at:%Y-%m}") for at in starts[:: 1 + len(starts) // 8]]
