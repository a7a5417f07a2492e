"""People as the live path knows them: merges of the files, and those that came since, judged by the same rules."""

from collections.abc import Iterable, Mapping

import polars as pl

from features.definition.schema import Definition
from features.identities.merges import LIVE, MERGES, is_nobody
from features.identities.people import People
from features.reading.live_messages import ALIAS, EXPLICIT, Message
from serving.database.live_log import LiveLog
from serving.ingest.history import History

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
        self._came: list[pl.DataFrame] = []
        self._read = 0

    def of(self, ids: Iterable[str]) -> Mapping[str, list[str]]:
        """The persons of some ids.

        Args:
            ids: ids.

        Returns:
            All ids of each person, by the one by which the person is called.
        """
        asked = set(ids)
        near = self._near(asked)
        called = People.of(near, self._rules).names(list(asked.union(near["alias"], near["user"])), NOW) \
            if self._rules is not None and len(near) else {}  # fmt: skip
        mine = {called.get(one, one) for one in asked}
        persons: dict[str, list[str]] = {user: [] for user in sorted(mine)}
        for one in sorted(asked.union(near["alias"], near["user"])):
            if (user := called.get(one, one)) in persons:
                persons[user].append(one)
        return persons

    def everybody(self) -> Mapping[str, list[str]]:
        """All ids of everybody who has, or had, several, by the id by which each is called now."""
        if self._rules is None:
            return {}
        called: dict[str, list[str]] = {}
        for one, user in People.of(self._merges(), self._rules).at(NOW).iter_rows():
            called.setdefault(user, []).append(one)
        return called

    def refused(self, message: Message) -> str:
        """Why the merge that a message asks for does not hold; empty where it does, or where the pair is no news."""
        pair = (pl.col("alias") == message.event) & (pl.col("user") == message.user)
        near = self._near({message.event, message.user}, nobodies=True)
        if self._rules is None or len(near.filter(pair)) > 1:
            return ""
        found = People.of(near, self._rules).links.refused.filter(pair)
        return str(found["reason"][0]) if len(found) else ""

    def _near(self, ids: set[str], *, nobodies: bool = False) -> pl.DataFrame:
        """All merges that those of some ids rest on; a word for nobody joins nobody."""
        merges = self._merges()
        real = merges.filter(~(is_nobody("alias") | is_nobody("user")))
        found = MERGES.to_frame()
        while True:
            some = pl.Series(list(ids)).implode()
            found = real.filter(pl.col("alias").is_in(some) | pl.col("user").is_in(some))
            more = ids.union(found["alias"], found["user"])
            if more == ids:
                break
            ids = more
        if not nobodies:
            return found
        some = pl.Series(list(ids)).implode()
        return pl.concat([found, merges.filter((is_nobody("alias") | is_nobody("user")) & pl.col("user").is_in(some))])

    def _merges(self) -> pl.DataFrame:
        """All merges: of the files, and of the live log so far."""
        new = self._live.merges_after(self._read)
        if new:
            self._read = new[-1].position
            self._came.append(merges_of(new))
        return pl.concat([self._history.merges(), *self._came])


def merges_of(messages: Iterable[Message]) -> pl.DataFrame:
    """What messages say of ids, `MERGES`."""
    rows = [
        {"alias": m.event, "user": m.user, "effective_at": m.t, "known_at": max(m.t + 1, m.received), "source": LIVE,
         "explicit": bool(m.body.get(EXPLICIT)), "undone_at": None}
        for m in messages if m.kind == ALIAS
    ]  # fmt: skip
    return pl.DataFrame(rows, schema=MERGES)
