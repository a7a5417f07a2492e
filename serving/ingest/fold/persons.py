"""Folding persons of several ids: always from their beginning, whichever of their ids acts, and under one id.

What an id is called by is written before the person that it belongs to: after a kill in between, the next run
finds the person's position behind, and does both again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from features.events.events import Rows
from features.feature_store import OnlineProfiles
from features.profile.codec import NOTHING, Identity, StoredProfile
from features.reading.live_messages import ALIAS, IDENTIFY, TRACK, LogColumns, Message
from serving.database.log.live_log import LiveLog
from serving.ingest.fold.history import History
from serving.ingest.fold.people import LivePeople
from serving.ingest.fold.profiles import fold_whole, identified, value_of


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody of one or more ids.

    Attributes:
        user: the id by which the person is called.
        ids: all ids.
        value: what is to be stored under `user`; None where the person has done nothing.
        position: the live log is folded in through this position.
        through: and the log through this instant.
    """

    user: str
    ids: Sequence[str]
    value: bytes | None
    position: int
    through: int

    def differs(self, stored: Mapping[str, StoredProfile | None]) -> Literal["missing", "profile"] | None:
        """What of what is stored of the ids is not as it should be."""
        for one in self.ids:
            found, now = stored[one], self.user if one != self.user else ""
            if found is None or (found.identity.now or "") != now:
                return "missing" if self.value is not None or found is not None else None
        was = stored[self.user]
        should = _profile(self.value)
        if was is None or should is None:
            return None
        same = was.words == should.words and was.identity == should.identity and was.attributes == should.attributes
        return None if same else "profile"


class Persons:
    """Makes profiles of persons of all there is of their ids.

    Args:
        columns: what the messages mean.
        online: the stored profiles.
        live: the live log.
        history: what there is besides.
    """

    def __init__(self, columns: LogColumns, online: OnlineProfiles, live: LiveLog, history: History) -> None:
        self._columns, self._online, self._live, self._history = columns, online, live, history
        self._people = LivePeople(columns.definition, live, history)

    def refused(self, message: Message) -> str:
        """Why the merge that a message asks for does not hold; empty where it does, or where it is no news."""
        return self._people.refused(message) if message.kind == ALIAS else ""

    def fold(self, messages: Sequence[Message], through: int) -> bool | None:
        """Fold the persons whom messages are of, or join.

        Args:
            messages: new ones.
            through: the instant the profiles are good through once these are in.

        Returns:
            Whether all is stored; False where somebody else wrote meanwhile, None where there is no event store here
            to make them of: the next batch does.
        """
        asked = list(dict.fromkeys(user for message in messages for user in message.users))
        known = self._stored(asked)
        joined = [one for p in known.values() if p for one in (*p.identity.ids, p.identity.now) if one]
        called = self._people.of([*asked, *joined])
        ids = sorted({one for some in called.values() for one in some})
        was = dict(zip(ids, self._online.read_values(ids), strict=True))
        persons = self.made(called, through, {one: _profile(value) for one, value in was.items()})
        if persons is None:
            return None
        done = all(self.write(person, was) for person in persons)
        # an erasure marks users before it removes their profiles: who was marked meanwhile is not put back
        if erased := self._live.erased(ids):
            self._online.remove(sorted(erased))
        return done

    def everybody(self) -> Mapping[str, Sequence[str]]:
        """All ids of everybody who has, or had, several, as `made` takes them."""
        return self._people.everybody()

    def made(
        self, called: Mapping[str, Sequence[str]], through: int, stored: dict[str, StoredProfile | None]
    ) -> list[Person] | None:
        """Make persons of all there is.

        Args:
            called: all ids of each, by the one by which the person is called; first the one by which the holdout of
                the person is drawn.
            through: the instant they are good through.
            stored: what is stored of the ids.
        """
        ids = [one for some in called.values() for one in some]
        kept = self._history.kept()
        known = self._history.rows(kept, ids) if kept is not None else None
        if kept is None or known is None:
            return None
        messages = self._live.of_users(ids, since=kept.live)
        tracked = self._columns.rows([m for m in messages if m.kind == TRACK])
        whole = Rows.together([known.table(), tracked.table()], tracked.values.shape[1])
        name = {one: user for user, some in called.items() for one in some}
        packed = fold_whole(whole, self._online.layout, self._columns, name)
        traits, fields = self._history.traits(list(called)), self._fields
        persons = []
        for user, some in called.items():
            mine = [message for message in messages if message.user in some]
            before = [p for one in some if (p := stored.get(one)) is not None]
            position = max([m.position for m in mine] + [p.position for p in before], default=0)
            about = [message for message in mine if message.user == user and message.kind == IDENTIFY]
            attributes = identified(traits.get(user, NOTHING), about, fields)
            drawn_as = some[0] if some[0] != user else ""
            others = Identity(tuple(sorted(one for one in some if one != user)), drawn_as=drawn_as)
            good = max([through, *(p.through for p in before)])
            words = packed.get(user)
            value = None if words is None else value_of(good, words, attributes, position, others)
            persons.append(Person(user, some, value, position, good))
        return persons

    def _stored(self, ids: Sequence[str]) -> dict[str, StoredProfile | None]:
        return {one: _profile(v) for one, v in zip(ids, self._online.read_values(ids), strict=True)}

    def write(self, person: Person, was: Mapping[str, bytes | None]) -> bool:
        """Store a person, where nobody else wrote since; returns whether that was so.

        Args:
            person: the person.
            was: what was stored of the ids.
        """
        others = {one: value_of(person.through, b"", NOTHING, person.position, Identity(now=person.user))
                  for one in person.ids if one != person.user}  # fmt: skip
        mine = {person.user: person.value} if person.value is not None else {}
        if person.value is None and was[person.user] is not None:  # it was somebody else's id, and has done nothing
            mine = {person.user: value_of(person.through, b"", NOTHING, person.position)}
        return self._swap(others, was) and self._swap(mine, was)

    def _swap(self, values: Mapping[str, bytes], was: Mapping[str, bytes | None]) -> bool:
        names = list(values)
        return all(self._online.swap(names, [values[n] for n in names], [was[n] for n in names]))

    @property
    def _fields(self) -> list[str]:
        traits = self._columns.definition.traits
        return traits.fields if traits is not None else []


def _profile(value: bytes | None) -> StoredProfile | None:
    return StoredProfile.from_bytes(value) if value is not None else None
