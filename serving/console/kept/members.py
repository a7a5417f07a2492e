"""Members of a segment as the newest batch found them, in pages, cut out of a list that is read once a batch."""

import threading
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime
from math import ceil
from pathlib import Path
from typing import Final, TypeAlias

import polars as pl

from features.time import to_datetime
from serving.audience.population import Population
from serving.audience.published import found_by, published_since
from serving.scoring.earlier.batch import Earlier

#: members of a page
PAGE: Final = 50

#: segments whose members are kept in memory, the least recently used go first; a million ids take about 30 MB
KEPT: Final = 4


#: members, and the instant of which they are
_Inside: TypeAlias = tuple[datetime, pl.DataFrame]


@dataclass(frozen=True, slots=True)
class Member:
    """A member.

    Attributes:
        user: the id.
        held_out: whether nothing is handed off of them.
    """

    user: str
    held_out: bool


@dataclass(frozen=True, slots=True)
class MembersPage:
    """A page.

    Attributes:
        as_of: the instant of the batch.
        members: by id, ascending.
        number: of the page, from 1.
        pages: how many there are; at least 1.
        first: the place of the first member, from 1; 0 of an empty page.
        total: members of the segment.
    """

    as_of: datetime
    members: list[Member]
    number: int
    pages: int
    first: int
    total: int


class Members:
    """Reads who is in a segment, once for each batch; threads may share one.

    Args:
        scores: the folder of the batches' scores.
        population: of the newest batch, by which members of a segment are found that was published since.
    """

    def __init__(self, scores: Path, population: Population) -> None:
        self._scores, self._population = scores, population
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, tuple[object, _Inside]] = OrderedDict()

    def page(self, segment: str, number: int) -> MembersPage | None:
        """A page of members; the last one where there are fewer. None before the first batch.

        Args:
            segment: its name.
            number: from 1.
        """
        batch = Earlier.newest(self._scores)
        if batch is None:
            return None
        as_of, rows = self._members(segment, batch)
        pages = max(1, ceil(len(rows) / PAGE))
        number = min(max(number, 1), pages)
        start = (number - 1) * PAGE
        members = [Member(user, held_out) for user, held_out in rows.slice(start, PAGE).iter_rows()]
        return MembersPage(as_of, members, number, pages, start + 1 if members else 0, len(rows))

    def _members(self, segment: str, batch: Earlier) -> _Inside:
        published = segment in published_since(self._population)
        key = self._population.stamp if published else batch.stamp
        with self._lock:
            known = self._kept.get(segment)
            if known is None or known[0] != key:
                members = _found(segment, self._population) if published else (batch.as_of, _read(segment, batch))
                known = self._kept[segment] = (key, members)
            self._kept.move_to_end(segment)
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return known[1]


def _found(segment: str, population: Population) -> _Inside:
    found = found_by(population, segment)
    held = found.users.is_in(found.held_out.implode())
    return to_datetime(found.cutoff), pl.DataFrame({"user_id": found.users, "held_out": held}).sort("user_id")


def _read(segment: str, batch: Earlier) -> pl.DataFrame:
    with batch.reading() as records:
        inside = records.filter(pl.col("segments").list.contains(segment))
        held = pl.col("holdout").list.contains(segment).fill_null(value=False)
        return inside.select("user_id", held_out=held).sort("user_id").collect()
