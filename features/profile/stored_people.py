"""What a run of the kept profiles does about people whose ids were merged: who is folded again, and from what."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from itertools import chain

import polars as pl
import pyarrow as pa

from features.event_store.stored_events import StoredEvents
from features.events.hashing import bucket_of, hashed
from features.identities.people import People
from features.profile.codec import ALONE, Identity, stored_bytes
from features.profile.stored_bucket import Folded

#: who is who: each merged id, and the id by which its person is called
WHO = pl.Schema({"id": pl.String(), "user": pl.String()})


@dataclass(frozen=True, slots=True)
class MergedPeople:
    """People whose ids were merged, as of a run.

    Attributes:
        who: who is who at its instant, `WHO`.
        folded: by bucket, those who were folded again.
        identities: of each id what is known of its person.
        freed: by bucket, ids that were merged at the last run and are people by themselves now.
        renamed: ids whose person is called by another id, where that is new.
        touched: ids whose profiles of the last run are of no use any more.
        called_again: ids whose persons were called by others and are called by these ids again.
    """

    who: pl.DataFrame
    folded: Mapping[int, Folded] = field(default_factory=dict)
    identities: Mapping[str, Identity] = field(default_factory=dict)
    freed: Mapping[int, list[str]] = field(default_factory=dict)
    renamed: Sequence[str] = ()
    touched: Set[str] = frozenset()
    called_again: Sequence[str] = ()

    def below(self, user: str) -> bool:
        """Whether an id's person is called by another id."""
        return bool(self.identities.get(user, ALONE).now)

    def without_profile(self, users: Iterable[str]) -> list[str]:
        """Those of some ids whose profiles of the last run are of no use any more."""
        return (
            [user for user in users if user in self.touched or self.below(user)]
            if self.touched or self.identities
            else []
        )

    def nothing(self, through: int, live: int) -> pl.DataFrame:
        """What the online store gets first: an id that is called by itself again may have done nothing."""
        return online(dict.fromkeys(self.called_again, stored_bytes(through, b"", "", live)))

    def online(self, through: int, live: int, *, everyone: bool) -> pl.DataFrame:
        """What the online store gets of ids whose person is called by another: which one that is."""
        users = [user for user in self.identities if self.below(user)] if everyone else list(self.renamed)
        return online({user: stored_bytes(through, b"", "", live, identity=self.identities[user]) for user in users})


def online(values: Mapping[str, bytes]) -> pl.DataFrame:
    """What the online store gets of users, ``user`` and ``profile``."""
    schema = {"user": pl.String(), "profile": pl.Binary()}
    return pl.DataFrame({"user": list(values), "profile": list(values.values())}, schema=schema)


def merged_people(
    store: StoredEvents,
    through: int,
    was: pl.DataFrame,
    acted: Callable[[pl.DataFrame], pl.Series] | None,
    fold: Callable[[pl.DataFrame], Iterable[Folded]],
) -> MergedPeople:
    """Fold those people again who act, or whose ids are others than they were.

    Args:
        store: the event store.
        through: the instant.
        was: who was who at the last run, `WHO`.
        acted: which ids of ``WHO`` have done something since, or lie where all is folded again; None where everybody
            is folded again.
        fold: folds the persons of some of ``WHO``, a few at a time.
    """
    people, n = store.people, store.manifest.buckets
    if not people and not len(was):
        return MergedPeople(WHO.to_frame())
    who = people.at(through) if people else WHO.to_frame()
    freed = was.join(who, on="id", how="anti")["id"]
    moved = pl.concat([who.join(was, on=["id", "user"], how="anti"), was.join(who, on=["id", "user"], how="anti")])
    if acted is None:
        users = who["user"].unique()
    else:
        changed = pl.concat([moved["id"], moved["user"], acted(who)]).unique()
        users = pl.concat([who.filter(pl.col("id").is_in(changed.implode()))["user"],
                           who.filter(pl.col("user").is_in(changed.implode()))["user"]]).unique()  # fmt: skip
    mine = who.filter(pl.col("user").is_in(users.implode()))
    folded: dict[int, Folded] = {}
    for found in fold(mine) if len(mine) else ():
        for user, bucket in zip(found, buckets_of(pl.Series(list(found)), n), strict=True):
            folded.setdefault(bucket, {})[user] = found[user]
    by_bucket: dict[int, list[str]] = {}
    for user, bucket in zip(freed, buckets_of(freed, n), strict=True):
        by_bucket.setdefault(bucket, []).append(user)
    new_below = moved.filter(pl.col("id") != pl.col("user")).join(who, on=["id", "user"])["id"]
    touched = {*users, *moved["id"], *moved["user"]}
    below = was.filter(pl.col("id") != pl.col("user"))["id"]
    again = below.filter(~below.is_in(who.filter(pl.col("id") != pl.col("user"))["id"].implode()))
    return MergedPeople(
        who,
        folded,
        KnownIdentities(people, through),
        by_bucket,
        new_below.to_list(),
        touched,
        again.to_list(),
    )


class KnownIdentities(Mapping[str, Identity]):
    """What is known of the person of each id that was merged with others, made when it is asked for.

    Args:
        people: who is who.
        instant: as of when.
    """

    def __init__(self, people: People, instant: int) -> None:
        below = people.at(instant).filter(pl.col("id") != pl.col("user"))
        above = below.sort("id").group_by("user").agg("id")
        self._now = dict(zip(below["id"].to_list(), below["user"].to_list(), strict=True))
        self._ids = dict(zip(above["user"].to_list(), above["id"].to_list(), strict=True))
        self._drawn_as = people.drawn_as(instant)

    def __getitem__(self, user: str) -> Identity:
        """What is known of an id's person."""
        if (now := self._now.get(user)) is not None:
            return Identity(now=now)
        return Identity(tuple(self._ids[user]), drawn_as=self._drawn_as.get(user, ""))

    def __iter__(self) -> Iterator[str]:
        """The ids."""
        return chain(self._now, self._ids)

    def __len__(self) -> int:
        """How many ids."""
        return len(self._now) + len(self._ids)


def buckets_of(users: pl.Series, n: int) -> list[int]:
    """The bucket of each of some users."""
    if not len(users):
        return []
    return [int(bucket) for bucket in bucket_of(hashed(pa.chunked_array([users.cast(pl.String).to_arrow()])), n)]
