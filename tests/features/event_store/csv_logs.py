"""Logs of CSV files, and the store they are taken into."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from features.definition import Definition
from features.event_store.store import EventStore
from features.open_log import open_log
from features.settings import Settings
from features.system.progress import unseen
from features.time import to_instant
from tests.worlds import DEFINITION

ENDS = "2026-06-01T00:00:00Z"


COLUMNS = {"user": "user_id", "event": "event", "time": "time"}


def rules(folder: Path, path: object = "*.csv", signals: Mapping[str, object] = {}, **events: object) -> Definition:
    known = {"path": path, "columns": COLUMNS, "ends": ENDS} | events
    definition = Definition.model_validate(DEFINITION | {"events": known} | ({"signals": signals} if signals else {}))
    definition._source = folder / "propensity.yaml"
    return definition


def csv(
    folder: Path, name: str, times: list[str], *, amounts: list[object] | None = None, users: object = None
) -> None:
    rows = zip(users or [f"u{i % 7}" for i in range(len(times))], times, amounts or [""] * len(times), strict=True)  # type: ignore[call-overload]
    lines = [f"{user},purchase,{time},{amount}" for user, time, amount in rows]
    folder.mkdir(exist_ok=True, parents=True)
    (folder / name).write_text("\n".join(["user_id,event,time,revenue", *lines, ""]))


def opened(definition: Definition, folder: Path) -> EventStore:
    found = open_log(definition, Settings(home=folder / "var"), ends=None, steps=unseen)
    assert isinstance(found, EventStore)
    return found


def at(*parts: int) -> int:
    return to_instant(datetime(*parts, tzinfo=UTC))  # type: ignore[misc]
