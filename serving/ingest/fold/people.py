"""People as the live path knows them: merges of the files, and those that came since, judged by the same rules."""

from collections.abc import Iterable, Mapping, Sequence

import polars as pl

from features.definition.schema import Definition
from features.identities.index import MergeIndex, together
from features.identities.merges import LIVE, MERGES
from features.identities.people import NOBODY_MERGED, People
from features.reading.live_messages import ALIAS, EXPLICIT, Message
from serving.database.log.live_log import LiveLog
from serving.ingest.fold.history import History

#: an instant after all others that profiles speak of
NOW = 2**62 - 1


class LivePeople:
    """Who is who, as of all that has come so far.

    Args:
        definition: how far merges are believed.
        live: the live log.
        history: the merges of the files.
    """

    def __init__(self, definition: Definition, live: LiveLog, history: History) -> None:
        self._rules, self._live, self._history = definition.identities, live, history
        self._came, self._read = MergeIndex(MERGES.to_frame()), 0

    def of(self, ids: Iterable[str]) -> Mapping[str, list[str]]:
        """The persons of some ids.

        Args:
            ids: ids.

        Returns:
            All ids of each person, by the one by which the person is called; first the one by which the person's
            holdout is drawn.
        """
        asked = set(ids)
        near = together(self._parts(), asked) if self._rules is not None else MERGES.to_frame()
        people, every = self._judged(near), sorted(asked.union(near["alias"], near["user"]))
        called = people.names(every, NOW)
        mine = {called.get(one, one) for one in asked}
        persons: dict[str, list[str]] = {user: [] for user in sorted(mine)}
        for one in every:
            if (user := called.get(one, one)) in persons:
                persons[user].append(one)
        return _drawn_first(persons, people)

    def everybody(self) -> Mapping[str, list[str]]:
        """All ids of everybody who has, or had, several, as `of` has them."""
        called: dict[str, list[str]] = {}
        if self._rules is None:
            return called
        people = self._judged(pl.concat([part.merges for part in self._parts()]))
        for one, user in people.at(NOW).iter_rows():
            called.setdefault(user, []).append(one)
        return _drawn_first(called, people)

    def refused(self, message: Message) -> str:
        """Why the merge that a message asks for does not hold; empty where it does, or where the pair is no news."""
        pair = (pl.col("alias") == message.event) & (pl.col("user") == message.user)
        near = together(self._parts(), message.users)
        if len(near.filter(pair)) > 1:
            return ""
        found = self._judged(near).links.refused.filter(pair)
        return str(found["reason"][0]) if len(found) else ""

    def _judged(self, merges: pl.DataFrame) -> People:
        return People.of(merges, self._rules) if self._rules is not None and len(merges) else NOBODY_MERGED

    def _parts(self) -> list[MergeIndex]:
        """All merges: of the files, and of the live log so far."""
        new = self._live.merges_after(self._read)
        if new:
            self._read = new[-1].position
            self._came = MergeIndex(pl.concat([self._came.merges, merges_of(new)], rechunk=True))
        return [self._history.merges(), self._came]


def _drawn_first(persons: Mapping[str, Sequence[str]], people: People) -> dict[str, list[str]]:
    """Put of each person's ids the one first by which the holdout is drawn."""
    drawn = people.drawn_as(NOW)
    first = {user: drawn.get(user, user) for user in persons}
    return {user: [first[user], *(one for one in ids if one != first[user])] for user, ids in persons.items()}


def merges_of(messages: Iterable[Message]) -> pl.DataFrame:
    """What messages say of ids, `MERGES`."""
    rows = [
        {"alias": m.event, "user": m.user, "effective_at": m.t, "known_at": max(m.t + 1, m.received), "source": LIVE,
         "explicit": bool(m.body.get(EXPLICIT)), "undone_at": None}
        for m in messages if m.kind == ALIAS
    ]  # fmt: skip
    return pl.DataFrame(rows, schema=MERGES)
