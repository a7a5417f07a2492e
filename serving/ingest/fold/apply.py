"""Folding live messages into the stored profiles: each once, in order, no matter who else writes.

A stored profile says through which position of the live log it is folded, and is exchanged only for what was made of
it. What came before the last event folded in, and who has no profile yet, is rebuilt from all there is, so that a
profile is always the one the batch would make of the same log. So is who corrects an event.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from features.errors import FoldError, PropensityError, UnavailableError
from features.events.events import Rows
from features.feature_store import OnlineProfiles
from features.feature_store.online import TRIES
from features.profile.codec import ALONE, NOTHING, StoredProfile, pack_all, unpack_into
from features.profile.fold import fold_into
from features.profile.layout import H_LAST, NEVER, Words
from features.reading.live_messages import ALIAS, TRACK, LogColumns, Message
from serving.database.log.live_log import LiveLog
from serving.ingest.fold.history import History
from serving.ingest.fold.persons import Persons
from serving.ingest.fold.profiles import fold_whole, identified, value_of

log = logging.getLogger("propensity")


@dataclass(slots=True)
class Folded:
    """What became of messages.

    Attributes:
        folded: how many of them count in a profile from now on.
        rebuilt: how many users were rebuilt.
        deferred: users whose late events wait for the next batch, because no event store is at hand here.
        failed: messages that cannot be folded, with the error; they count nowhere.
        refused: messages that say of two ids that they are one person's, and are not believed, with the reason.
    """

    folded: int = 0
    rebuilt: int = 0
    deferred: set[str] = field(default_factory=set)
    failed: list[tuple[Message, str]] = field(default_factory=list)
    refused: list[tuple[Message, str]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _User:
    """Somebody's messages and what is stored of them."""

    name: str
    messages: list[Message]
    was: bytes | None
    stored: StoredProfile | None

    @property
    def position(self) -> int:
        return self.messages[-1].position

    @property
    def merged(self) -> bool:
        """Whether there may be other ids of the same person."""
        known = self.stored is not None and self.stored.identity != ALONE
        return known or any(message.kind == ALIAS for message in self.messages)


class LiveFold:
    """Folds messages.

    Args:
        columns: what the messages mean.
        online: the stored profiles.
        live: the live log, asked for users who are rebuilt.
        history: and what there is of them besides.
    """

    def __init__(self, columns: LogColumns, online: OnlineProfiles, live: LiveLog, history: History) -> None:
        self._columns, self._online, self._live, self._history = columns, online, live, history
        self._persons = Persons(columns, online, live, history) if columns.definition.identities is not None else None

    def warm_up(self) -> None:
        """Compile and open what the first messages would have to wait for."""
        nobody = Message("", "warm-up", TRACK, "", 0, 0, {})
        fold_whole(self._columns.rows([nobody]), self._online.layout, self._columns)
        if (kept := self._history.kept()) is not None:
            self._history.rows(kept, [nobody.user])

    def apply(self, messages: Sequence[Message], through: int) -> Folded:
        """Fold messages into the profiles of their users.

        Args:
            messages: in the order of their positions; those folded already are passed over.
            through: the instant the profiles are good through once these are in.

        Raises:
            UnavailableError: a store does not answer; what was not folded may be tried again, all of it.
        """
        result = Folded()
        waiting: dict[str, list[Message]] = {}
        for message in messages:
            waiting.setdefault(message.user, []).append(message)
        for _ in range(TRIES):
            waiting = self._once(waiting, through, result)
            if not waiting:
                return result
        raise UnavailableError(f"{len(waiting)} profiles kept changing.", fix="it is tried again")

    def _once(self, waiting: dict[str, list[Message]], through: int, result: Folded) -> dict[str, list[Message]]:
        """Fold once; returns what met another writer."""
        users = self._read(waiting)
        users, again = self._without_merged(users, through, result)
        try:
            values = self._values(users, through, result)
        except (PropensityError, OSError):
            raise  # a store or a file is at fault, not what was sent
        except Exception as error:
            if len(users) == 1:
                return self._without_poison(users[0], error, result)
            # one of them is at fault, and the others need not wait for it
            left: dict[str, list[Message]] = {}
            for user in users:
                left |= self._once({user.name: waiting[user.name]}, through, result)
            return left
        changed = [user for user in users if user.name in values]
        done = self._online.swap([u.name for u in changed], [values[u.name] for u in changed], [u.was for u in changed])
        # an erasure marks users before it removes their profiles: who was marked meanwhile is not put back
        if erased := self._live.erased([user.name for user in changed]):
            self._online.remove(sorted(erased))
        result.folded += sum(len(user.messages) for user, ok in zip(changed, done, strict=True) if ok)
        left = {user.name: waiting[user.name] for user, ok in zip(changed, done, strict=True) if not ok}
        return left | again

    def _without_merged(
        self, users: list[_User], through: int, result: Folded
    ) -> tuple[list[_User], dict[str, list[Message]]]:
        """Fold those who may be persons of several ids; returns the others, and what is to be tried again."""
        merged = [user for user in users if user.merged] if self._persons is not None else []
        again = self._fold_persons(merged, through, result) if merged else {}
        return [user for user in users if not user.merged] if merged else users, again

    def _fold_persons(self, users: list[_User], through: int, result: Folded) -> dict[str, list[Message]]:
        """Fold persons of several ids; returns what is to be tried again."""
        persons, messages = self._persons, [message for user in users for message in user.messages]
        if persons is None:
            return {}
        try:
            done = persons.fold(messages, through)
            result.refused += [(m, why) for m in messages if (why := persons.refused(m))] if done is not False else []
        except (PropensityError, OSError):
            raise  # a store or a file is at fault, not what was sent
        except Exception as error:
            if len(users) == 1:
                return self._without_poison(users[0], error, result)
            left: dict[str, list[Message]] = {}
            for user in users:
                left |= self._fold_persons([user], through, result)
            return left
        if done is False:
            return {user.name: user.messages for user in users}
        if done is None:
            log.warning("who is who waits for the next batch", extra={"users": len(users)})
            result.deferred |= {user.name for user in users}
            return {}
        result.folded += len(messages)
        result.rebuilt += len(users)
        return {}

    def _without_poison(self, user: _User, error: Exception, result: Folded) -> dict[str, list[Message]]:
        """Find the messages that cannot be folded; the others are tried again without them."""
        poison: list[tuple[Message, str]] = []
        for message in user.messages:
            try:
                self._columns.rows([message])
            except Exception as alone:
                poison.append((message, f"{type(alone).__name__}: {alone}"))
        log.error("live events cannot be folded: %s", type(error).__name__, extra={"position": user.position})
        result.failed += poison or [(message, f"{type(error).__name__}: {error}") for message in user.messages]
        failed = {message.position for message, _ in result.failed}
        rest = [message for message in user.messages if message.position not in failed]
        return {user.name: rest} if rest else {}

    def _read(self, waiting: dict[str, list[Message]]) -> list[_User]:
        """Users with messages that are not in their profiles."""
        users = []
        for (name, messages), value in zip(waiting.items(), self._online.read_values(list(waiting)), strict=True):
            stored = StoredProfile.from_bytes(value) if value is not None else None
            new = [m for m in messages if stored is None or m.position > stored.position]
            if new:
                users.append(_User(name, new, value, stored))
        return users

    def _values(self, users: list[_User], through: int, result: Folded) -> dict[str, bytes]:
        """What is to be stored of users; who needs no change is not in it."""
        tracked = [message for user in users for message in user.messages if message.kind == TRACK]
        rows = self._columns.rows(tracked) if tracked else None
        events = rows.sorted().events(NEVER, {}) if rows is not None and len(rows.t) else None
        at = {name: i for i, name in enumerate(events.users)} if events is not None else {}
        size = self._online.layout.size
        words, from_start, on = np.zeros((len(at), size), dtype=np.int64), [], []
        first = events.t[events.starts[:-1]].tolist() if events is not None else []
        for user in users:
            i = at.get(user.name)
            if i is None:  # attributes only, or events that no signal knows
                on += [user] if user.stored and user.stored.words else []
            elif self._goes_on(user, first[i], words, i):
                on.append(user)
            else:
                words[i] = 0
                from_start.append(user)
        values: dict[str, bytes] = {}
        if events is not None:
            fold_into(events, 0, len(at), NEVER - 1, self._online.layout, words, np.full(len(at), NEVER))
            packed = pack_all(words, self._online.layout)
        for user in on:
            stored = user.stored
            if stored is not None:
                word = packed[at[user.name]] if user.name in at else stored.words
                known = identified(stored.attributes, user.messages, self._fields)
                values[user.name] = value_of(max(stored.through, through), word, known, user.position)
        return values | (self._rebuilt(from_start, through, result) if from_start else {})

    def _goes_on(self, user: _User, first: int, words: Words, i: int) -> bool:
        """Whether a profile can be folded on from its first new event; it is put into ``words[i]``, which is empty."""
        if user.stored is None or not user.stored.words:
            return False
        if any(message.corrects for message in user.messages):
            return False  # a fold cannot take out what was corrected
        try:
            unpack_into(words, np.array([i]), [user.stored.words], self._online.layout)
        except FoldError:
            return False  # it is rebuilt
        return first > int(words[i, H_LAST])

    def _rebuilt(self, users: list[_User], through: int, result: Folded) -> dict[str, bytes]:
        """Fold users from their beginning: what is in the kept profiles, and the live log after it."""
        names = [user.name for user in users]
        kept = self._history.kept()
        known = self._history.rows(kept, names) if kept is not None else None
        if kept is None or known is None:
            late = [user for user in users if user.stored is not None and user.stored.words]
            result.deferred |= {user.name for user in late}
            log.warning("late events wait for the next batch", extra={"users": len(late)}) if late else None
            users = [user for user in users if user.stored is None or not user.stored.words]
            names = [user.name for user in users]
        failed = {message.position for message, _ in result.failed}
        messages = self._live.of_users(names, since=kept.live if kept else 0)
        messages = [message for message in messages if message.position not in failed]
        mine: dict[str, list[Message]] = {name: [] for name in names}
        for message in messages:
            mine[message.user].append(message)
        tracked = self._columns.rows([m for m in messages if m.kind == TRACK])
        whole = Rows.together([*([known.table()] if known else []), tracked.table()], tracked.values.shape[1])
        folded = fold_whole(whole, self._online.layout, self._columns)
        traits = self._history.traits(names)
        result.rebuilt += len(users)
        values = {}
        for user in users:
            # what was appended since the tail was read is in already, and must not come again
            position = max([user.position, *(m.position for m in mine[user.name])])
            if packed := folded.get(user.name):
                merged = identified(traits.get(user.name, NOTHING), mine[user.name], self._fields)
                good = max(user.stored.through if user.stored else 0, through)
                values[user.name] = value_of(good, packed, merged, position)
        return values

    @property
    def _fields(self) -> list[str]:
        traits = self._columns.definition.traits
        return traits.fields if traits is not None else []
