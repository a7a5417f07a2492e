"""A small log with a live path beside it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import polars as pl

from features.definition import Definition
from features.definition.sections.families import Family
from features.events.events import Rows
from features.events.repeats import one_row_an_id
from features.feature_store import OnlineProfiles
from features.open_log import open_log
from features.profile.codec import stored_words
from features.reading.live_messages import IDENTIFY, TRACK, LogColumns, Message
from features.reading.source import EventLog
from features.settings import Settings
from features.system.progress import unseen
from features.time import DAY, Clock, to_datetime, to_instant
from serving.activation.memberships import Memberships
from serving.database.log.live_log import LiveLog
from serving.ingest.compact import compact
from serving.ingest.fold.profiles import fold_whole
from serving.ingest.worker import Worker
from serving.upkeep.materialize import materialize
from tests.features.event_store.logs import COLUMNS, ENDS, SCHEMA, put, random_rows
from tests.serving.stores import Stores
from tests.worlds import DEFINITION, with_signal

#: the log is complete through here, and live messages come after
BEGIN = to_instant(ENDS)


def message(number: int, user: str, event: str, at: int, *, late: int = 0, **body: object) -> Message:
    """A message received an hour after the other, about something that happened ``late`` microseconds earlier."""
    kind = IDENTIFY if event == IDENTIFY else TRACK
    name = "" if kind == IDENTIFY else event
    return Message(f"m{number}", user, kind, name, at - late, at, dict(body))


@dataclass
class Scene:
    """A definition in a folder, its log taken in and online, and an empty live log."""

    folder: Path
    settings: Settings
    definition: Definition
    live: LiveLog

    @classmethod
    def set(
        cls, folder: Path, settings: Settings | None = None, *, rows: int = 300, users: int = 12,
        columns: Mapping[str, str] = COLUMNS, timezone: str = "UTC", order: str | None = None,
        identities: Mapping[str, object] | None = None,
    ) -> "Scene":  # fmt: skip
        history = random_rows(rows, users=users)
        put(folder, "a", history.with_columns(pl.col("event_time").dt.offset_by("70d")))
        traits = {"user": ["u000", "u001"], "known": [ENDS, ENDS], "plan": ["free", "pro"], "country": ["AT", None]}
        pl.DataFrame(traits).with_columns(pl.col("known").dt.offset_by("-9d")).write_parquet(folder / "traits.parquet")
        events = {"path": str(folder / "log" / "*.parquet"), "columns": dict(columns), "ends": ENDS.isoformat()}
        rule = {"path": str(folder / "traits.parquet"), "columns": {"user": "user", "known": "known"},
                "fields": ["plan", "country"]}  # fmt: skip
        changed = {"events": events, "traits": rule, "timezone": timezone, "windows": ["2h", 1, 7, 14, 30],
                   "features": {"families": list(Family), "absence": "2d"},
                   "signals": with_signal("purchase", refund="event = 'refund'", order=order,
                                          more_values={"margin": "revenue / 4"},
                                          distinct={"prices": "revenue", "kinds": "event"})}  # fmt: skip
        if identities is not None:
            changed["identities"] = dict(identities)
        definition = Definition.model_validate(DEFINITION | changed)
        settings = settings or Settings(home=folder / "var")
        scene = cls(folder, settings, definition, LiveLog.open(definition, settings))
        scene.materialize()
        return scene

    def materialize(self) -> None:
        log = open_log(self.definition, self.settings, ends=None, steps=unseen)
        materialize(log, self.definition, self.settings)

    def compact(self) -> None:
        compact(self.definition, self.settings, self.live)

    def worker(self) -> Worker:
        return Worker(self.definition, self.settings, self.live, Clock(to_datetime(BEGIN + 40 * DAY)))

    def fold(self) -> None:
        """Fold what waits."""
        worker = self.worker()
        while worker.step():
            pass
        worker.close()
        worker._leases.give_back()

    @property
    def memberships(self) -> Memberships:
        return Memberships(self.definition, self.live, Clock(to_datetime(BEGIN + 40 * DAY)))

    @property
    def online(self) -> OnlineProfiles:
        return OnlineProfiles(self.definition, self.settings)

    def stored(self) -> dict[str, bytes]:
        """The packed words of everybody online."""
        names = sorted({f"u{i:03d}" for i in range(40)} | {f"new{i}" for i in range(10)})
        found = dict(zip(names, self.online.read_values(names), strict=True))
        return {user: stored_words(value) for user, value in found.items() if value is not None and stored_words(value)}

    def batch(self, messages: list[Message], called: Mapping[str, str] = MappingProxyType({})) -> dict[str, bytes]:
        """What the batch makes of the same log: the first log's files and one of all messages, read at once.

        Args:
            messages: all that were sent, in order, repeats and refused ones too.
            called: as who ids count that are others' too.
        """
        place = self.folder / "whole"
        (place / "log").mkdir(parents=True, exist_ok=True)
        pl.read_parquet(self.folder / "log" / "a.parquet").write_parquet(place / "log" / "a.parquet")
        rows = [
            {"event_id": m.id, "user_id": m.user, "event": m.event, "event_time": to_datetime(m.t),
             "arrived_at": to_datetime(m.received), "revenue": m.body.get("revenue")}
            for m in messages if m.kind == TRACK
        ]  # fmt: skip
        put(place, "b", pl.DataFrame(rows, schema=SCHEMA))
        events = self.definition.events.model_copy(update={"path": str(place / "log" / "*.parquet")})
        log = EventLog(self.definition.model_copy(update={"events": events}), ends=BEGIN + 400 * DAY)
        tables = [batch.kept() for file in log.files for batch in log.batches(file)]
        rows = Rows.of(pl.concat([pl.DataFrame(t) for t in tables]).to_arrow(), log.n_values)
        once, _ = one_row_an_id(rows, by_arrival=log.has_arrivals)
        return fold_whole(once, self.online.layout, LogColumns(self.definition, log.columns), called)

    def restart(self) -> None:
        """Open the live log again, as a process does that starts."""
        self.live.close()
        self.live = LiveLog.open(self.definition, self.settings)

    @property
    def stores(self) -> Stores:
        return Stores(self.definition, self.settings)

    def keep(self, place: Path, *stores: str) -> None:
        """Copy stores aside, see `tests.serving.stores`,, as a backup does."""
        self.stores.keep(place, *stores)

    def bring_back(self, place: Path, *stores: str) -> None:
        """Put copies of stores in their place; the live log is opened again."""
        self.live.close()
        self.stores.bring_back(place, *stores)
        self.live = LiveLog.open(self.definition, self.settings)

    def lose(self, *stores: str) -> None:
        """Remove stores, as a replaced disk has none; the live log is made again."""
        self.live.close()
        self.stores.lose(*stores)
        self.live = LiveLog.open(self.definition, self.settings)
