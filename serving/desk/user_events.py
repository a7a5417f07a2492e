"""What a user did: the events of the log and those that came in live since, of all ids of the person."""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from features.definition.numbers import event_numbers
from features.definition.schema import Definition
from features.events.events import Rows
from features.reading.live_messages import TRACK, LogColumns, Message
from features.settings import Settings
from features.time import to_datetime
from serving.database.log.live_log import LiveLog
from serving.ingest.fold.history import History
from serving.ingest.fold.people import LivePeople


@dataclass(frozen=True, slots=True)
class UserEvent:
    """Something that a user did.

    Attributes:
        at: when.
        signals: the signals that it fires.
        numbers: its numbers, by ``signal.value`` or ``signal.NAME``.
    """

    at: datetime
    signals: tuple[str, ...]
    numbers: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class FoundEvents:
    """The events of a user.

    Attributes:
        events: the newest first; no more than were asked for.
        count: how many there are.
        whole: whether those of the log are among them; they are not where its files or the kept profiles are elsewhere,
            as with Spark.
    """

    events: Sequence[UserEvent]
    count: int
    whole: bool


class UserEvents:
    """Finds the events of a user; threads may share one.

    Args:
        definition: names the signals.
        settings: where the event store is.
        live: what has come in since.
    """

    def __init__(self, definition: Definition, settings: Settings, live: LiveLog) -> None:
        self._definition, self._folder, self._live = definition, settings.folder(definition.name), live
        self._history = History(definition, settings)
        self._people = LivePeople(definition, live, self._history)
        self._lock = threading.Lock()
        self._columns: LogColumns | None = None

    def of(self, user: str, through: int, limit: int) -> FoundEvents:
        """Find the events of a user.

        Args:
            user: the id by which the person is called.
            through: none after this instant.
            limit: how many at most.

        Raises:
            EventLogError: a part of the event store is damaged, or no columns of the log are kept.
        """
        with self._lock:  # one file is read at a time
            ids = self._people.of([user]).get(user, [user])
            kept = self._history.kept()
            known = self._history.rows(kept, ids) if kept is not None else None
            since = kept.live if kept is not None and known is not None else 0
            rows = self._and_live(known, self._live.of_users(ids, since=since))
        rows = rows.take(rows.t <= through)
        newest = np.argsort(-rows.t, kind="stable")[:limit]
        return FoundEvents([self._event(rows, int(i)) for i in newest], len(rows.t), known is not None)

    def _and_live(self, known: Rows | None, messages: Sequence[Message]) -> Rows:
        if self._columns is None:
            self._columns = LogColumns.load(self._definition, self._folder)
        tracked = self._columns.rows([message for message in messages if message.kind == TRACK])
        return Rows.together([*([known.table()] if known else []), tracked.table()], tracked.values.shape[1])

    def _event(self, rows: Rows, i: int) -> UserEvent:
        fired = tuple(name for place, name in enumerate(self._definition.signals) if int(rows.mask[i]) >> place & 1)
        numbers = {
            f"{number.signal}.{number.part.rpartition('.')[2]}": float(value)
            for number, value in zip(event_numbers(self._definition), rows.values[i], strict=True)
            if not number.key and number.signal in fired and not np.isnan(value)
        }
        return UserEvent(to_datetime(int(rows.t[i])), fired, numbers)
