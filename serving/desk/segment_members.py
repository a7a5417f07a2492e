"""Who is in a segment now: the last batch's members and those who have acted since, each scored again."""

import heapq
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import islice

import polars as pl
from pydantic import BaseModel, ConfigDict

from features.errors import PropensityError, UnavailableError
from features.time import to_instant
from serving.audience.population import Population
from serving.audience.published import found_by, published_since
from serving.database.log.live_log import LiveLog
from serving.scoring.earlier.batch import Earlier
from serving.scoring.online import Answers

#: users looked at together, and at most for one page
RUN, MOST = 500, 10_000


class Members(BaseModel):
    """A page of a segment's members.

    Attributes:
        segment: the segment's name.
        as_of: the instant for which membership holds.
        batch: the instant of the batch it started from; null before the first batch.
        users: ids, ascending.
        holdout: the users among them who are held out, so that the effect of acting can be measured.
        next: request the next page with ``after`` set to this; null on the last page.
    """

    model_config = ConfigDict(frozen=True)

    segment: str
    as_of: datetime
    batch: datetime | None
    users: list[str]
    holdout: list[str]
    next: str | None


class SegmentMembers:
    """Pages of segments' members.

    Membership is true at the instant asked for: profiles are read then, so that who has left since the batch is not
    in it, and who entered by acting is. Who enters by doing nothing (``silent for 3 days``) enters with a batch.
    Of a segment that was published since the batch, the batch's columns tell who may be in it.

    Args:
        answers: evaluates.
        live: knows who has acted since.
        population: the columns of the newest batch.
    """

    def __init__(self, answers: Answers, live: LiveLog, population: Population) -> None:
        self._answers, self._live, self._population = answers, live, population
        self._kept: tuple[object, pl.Series] = (None, pl.Series(dtype=pl.String))

    def page(self, segment: str, as_of: datetime, *, after: str, limit: int) -> Members:
        """A page.

        Args:
            segment: its name.
            as_of: an aware datetime.
            after: only users after this id.
            limit: how many at most; a page may hold fewer, and others follow while ``next`` is not null.

        Raises:
            PropensityError: there is no such segment.
            UnavailableError: ``no_model``: it rests on a model that is missing.
        """
        known = self._answers.definition.segments
        if segment not in known:
            raise PropensityError(f"there is no segment {segment!r}.", fix=f"the segments are {', '.join(known)}")
        if missing := self._answers.silent.get(segment):
            raise UnavailableError(
                f"who is in {segment!r} is not known: it rests on {', '.join(missing)}, which has no model now.",
                fix="see degraded at /readyz, or propensity train",
                code="no_model",
            )
        # the batch of that very instant, too: batches are named to the second, and each user is looked at again
        batch = self._answers.earlier(as_of + timedelta(seconds=1))
        found: dict[str, bool] = {}
        candidates, seen = self._candidates(segment, batch, after), 0
        last: str | None = after
        while len(found) < limit and seen < MOST:
            some = list(islice(candidates, RUN))
            if not some:
                last = None
                break
            inside = self._answers.inside(some, as_of, segment)
            for user in some:
                last = user
                if user in inside:
                    found[user] = inside[user]
                    if len(found) == limit:
                        break
            seen += len(some)
        return Members(
            segment=segment,
            as_of=as_of,
            batch=batch and batch.as_of,
            users=list(found),
            holdout=[user for user, held_out in found.items() if held_out],
            next=last,
        )

    def _candidates(self, segment: str, batch: Earlier | None, after: str) -> Iterator[str]:
        """Users who may be in it, ascending, each once."""
        last = None
        for user in heapq.merge(self._of_batch(segment, batch, after), self._touched(batch, after)):
            if user != last:
                yield user
            last = user

    def _of_batch(self, segment: str, batch: Earlier | None, after: str) -> Iterator[str]:
        if batch is None:
            return
        published = segment in published_since(self._population)
        key = (segment, self._population.stamp if published else batch.stamp)
        known, members = self._kept  # at once: threads ask for other segments meanwhile
        if known != key:
            members = self._read(segment, batch, published)
            self._kept = (key, members)
        yield from members[int(members.search_sorted(after, side="right")) :]

    def _read(self, segment: str, batch: Earlier, published: bool) -> pl.Series:
        if published:
            return found_by(self._population, segment).users.sort()
        with batch.reading() as records:
            inside = records.filter(pl.col("segments").list.contains(segment))
            return inside.select("user_id").collect()["user_id"].sort()

    def _touched(self, batch: Earlier | None, after: str) -> Iterator[str]:
        since = to_instant(batch.as_of) if batch is not None else 0
        while some := self._live.touched(since, after, RUN):
            yield from some
            after = some[-1]
