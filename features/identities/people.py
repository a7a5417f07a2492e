"""People: sets of ids that were ever merged, and who is who at an instant."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, runtime_checkable

import numpy as np
import polars as pl
from numpy.typing import NDArray

from features.definition.sections.log.identities import Identities
from features.events.events import Events, Rows
from features.identities.links import REFUSED, Links, linked
from features.identities.spans import Persons, persons, sets_of, tops


@dataclass(frozen=True)
class People:
    """Ids that are, or were, merged with others; all other ids are people by themselves.

    Attributes:
        links: the merges that hold.
    """

    links: Links

    @classmethod
    def of(cls, merges: pl.DataFrame, rules: Identities) -> "People":
        """Judge merges, `features.identities.merges.MERGES`."""
        return cls(linked(merges, rules))

    @cached_property
    def _sets(self) -> NDArray[np.int64]:
        """Of each id of the links the number of its set, from 0; -1 where no merge of it holds."""
        return np.asarray(sets_of(len(self.links.ids), self.links.alias, self.links.user))

    @cached_property
    def ids(self) -> pl.Series:
        """The ids that any merge that holds joins with others, ascending."""
        return self.links.ids.filter(pl.Series(self._sets >= 0))

    @property
    def count(self) -> int:
        """How many sets there are."""
        return int(self._sets.max(initial=-1)) + 1

    def __bool__(self) -> bool:
        return bool(len(self.links.alias))

    def at(self, instant: int) -> pl.DataFrame:
        """Who is who at a cutoff: columns ``id`` and ``user``, the id by which that person is called.

        Args:
            instant: the cutoff; merges known later, and those undone by then, are not seen.
        """
        seen = (self.links.since <= instant) & (instant < self.links.until)
        top = tops(len(self.links.ids), self.links.alias[seen], self.links.user[seen])
        inside = np.flatnonzero(self._sets >= 0)
        return pl.DataFrame({"id": self.links.ids.gather(inside), "user": self.links.ids.gather(top[inside])})

    def below(self, instant: int) -> dict[str, str]:
        """Of the ids whose persons are called by other ids at a cutoff, by which."""
        return dict(self.at(instant).filter(pl.col("id") != pl.col("user")).iter_rows())

    def drawn_as(self, instant: int) -> dict[str, str]:
        """By which id the holdout of a person is drawn at a cutoff: the one that was first a known user's.

        Args:
            instant: the cutoff.

        Returns:
            That id of each person of whom it is not the id by which the person is called.
        """
        who = self.at(instant)
        known = pl.Series("known", self.links.identified[self._sets >= 0])
        first = who.with_columns(known).filter(pl.col("known") <= instant).sort("known", "id")
        drawn = first.group_by("user").agg(pl.col("id").first()).filter(pl.col("id") != pl.col("user"))
        return dict(drawn.iter_rows())

    def sets_of(self, ids: pl.Series) -> NDArray[np.int64]:
        """The number of the set of each of some ids; -1 where it is in none."""
        at = self._numbers(ids)
        return np.where(at >= 0, self._sets[at], -1) if len(self.links.ids) else at

    def _numbers(self, ids: pl.Series) -> NDArray[np.int64]:
        """Which of the links' ids each of some ids is; -1 where it is none of them."""
        known = self.links.ids
        if not len(known) or not len(ids):
            return np.full(len(ids), -1)
        at = np.minimum(known.search_sorted(ids).to_numpy(), len(known) - 1).astype(np.int64)
        return np.where((known.gather(at) == ids).to_numpy(), at, -1)

    def events(self, rows: Rows, ends: int) -> Events | None:
        """The events of people, each for as long as it is of the same ids.

        Args:
            rows: all rows of the ids of some sets, in any order.
            ends: only what happened before this instant.

        Returns:
            The events, with spans; None where there are none.
        """
        rows = rows.take(rows.t < ends)
        names = pl.Series(rows.users, dtype=pl.String)
        sets = np.unique(self.sets_of(names))
        mine = np.flatnonzero(np.isin(self._sets, sets[sets >= 0]))
        if not mine.size:
            return None
        mine = mine[np.argsort(self._sets[mine], kind="stable")]  # by set, within it by name
        local = np.full(len(self.links.ids), -1, dtype=np.int64)
        local[mine] = np.arange(mine.size)
        held = np.flatnonzero(local[self.links.alias] >= 0)
        found = persons(
            self._sets[mine], local[self.links.alias[held]], local[self.links.user[held]],
            self.links.since[held], self.links.until[held],
        )  # fmt: skip
        numbers = self._numbers(names)
        id_of = np.where(numbers >= 0, local[numbers], -1)
        return Persons(self.links.ids.gather(mine), *found).events(rows, id_of, ends)

    def names(self, users: Sequence[str], instant: int) -> dict[str, str]:
        """Of those of some ids that were merged, by what id their person is called at a cutoff."""
        asked = pl.Series("id", list(users), dtype=pl.String)
        if not self:
            return {}
        inside = asked.filter(pl.Series(self.sets_of(asked) >= 0))
        return dict(inside.to_frame().join(self.at(instant), on="id").iter_rows())

    def of_persons(self, users: Sequence[str], instant: int) -> dict[str, list[str]]:
        """All ids of the persons to whom some ids belong at a cutoff, by the id by which each is called."""
        called = set(self.names(users, instant).values())
        found = self.at(instant).filter(pl.col("user").is_in(list(called)))
        return {user: ids["id"].to_list() for (user,), ids in found.group_by("user", maintain_order=True)}


_NONE = np.zeros(0, dtype=np.int64)

#: nobody was ever merged
NOBODY_MERGED = People(Links(pl.Series("id", [], pl.String), _NONE, _NONE, _NONE, _NONE, REFUSED.to_frame(), _NONE))


@runtime_checkable
class WithPeople(Protocol):
    """A log of which it is known who is who."""

    @property
    def people(self) -> People:
        """Who is who; nobody is merged where the definition has no ``identities``."""
        ...


def people_of(log: object) -> People:
    """Who is who in a log; events in memory are of people already."""
    return log.people if isinstance(log, WithPeople) else NOBODY_MERGED
