"""Overlap: who is in two segments, and which pairs ask for different things."""

from dataclasses import dataclass

from starlette.responses import Response

from features.definition.schema import Definition
from serving.console.kept.overview import Overview
from serving.console.office import Visit
from serving.console.pages import page_of
from serving.console.screen import Screen

#: pairs that are shown
MOST = 12


@dataclass(frozen=True, slots=True)
class Pair:
    """Two segments that share users.

    Attributes:
        one: the first.
        other: the second.
        users: who is in both.
        share: of the smaller segment.
        do_one: what the playbook of the first asks for; empty where there is none.
        do_other: the same of the other.
    """

    one: str
    other: str
    users: int
    share: float
    do_one: str
    do_other: str

    @property
    def differ(self) -> bool:
        """Whether their playbooks ask for different things."""
        return bool(self.do_one and self.do_other) and self.do_one != self.do_other


def _matrix(visit: Visit) -> Response:
    overview = visit.office.overviews.newest()
    known = visit.office.desk.definition.segments
    names = [] if overview is None else [name for name, users in overview.segments.items() if users and name in known]
    rows = [] if overview is None else [(name, [_share(overview, name, other) for other in names]) for name in names]
    pairs = [] if overview is None else _pairs(visit.office.desk.definition, overview, names)
    return page_of(visit, "overlap.html", "overlap", overview=overview, names=names, rows=rows, pairs=pairs)


def _share(overview: Overview, row: str, column: str) -> float:
    """The share of a segment's users who are in another one, too."""
    order = list(overview.segments)
    return float(overview.together[order.index(row), order.index(column)] / overview.segments[row])


def _pairs(definition: Definition, overview: Overview, names: list[str]) -> list[Pair]:
    """Pairs that share users: first those whose playbooks ask for different things, then the largest share."""
    order = list(overview.segments)
    found = []
    for i, one in enumerate(names):
        for other in names[i + 1 :]:
            users = int(overview.together[order.index(one), order.index(other)])
            if users:
                smaller = min(overview.segments[one], overview.segments[other])
                found.append(
                    Pair(one, other, users, users / smaller, _asked(definition, one), _asked(definition, other))
                )
    return sorted(found, key=lambda pair: (not pair.differ, -pair.share))[:MOST]


def _asked(definition: Definition, name: str) -> str:
    """What a segment's playbook asks for; empty where it has none."""
    playbook = definition.segments[name].playbook
    return playbook.do if playbook is not None else ""


SCREENS = (Screen("/overlap", "GET", "look", _matrix),)
