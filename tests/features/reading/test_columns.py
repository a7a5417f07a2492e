"""Columns of the log that are computed of others, lie in others, or have names that read as SQL."""

import re
from pathlib import Path

import polars as pl
import pytest

from features.definition import Definition
from features.errors import DefinitionError, EventLogError
from features.reading.source import EventLog
from tests.features.reading.logs import COLUMNS, definition, log, open_log, written_as
from tests.worlds import DEFINITION, with_signal


@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_columns_may_be_computed_of_others(kind: str, tmp_path: Path) -> None:
    frame = log(user_id=[None, "b"], device=["d1", "d2"]).drop("arrived_at")
    columns = {"user": "COALESCE(user_id, device)", "event": "LOWER(event)", "time": "event_time",
               "id": "event_id || '-' || device"}  # fmt: skip
    opened = EventLog(definition(tmp_path, path=written_as(kind, frame, tmp_path), columns=columns))
    events = opened.read()
    assert events.users.to_list() == ["b", "d1"]
    assert events.counts["no user"] == 0
    assert opened.has_ids
    assert opened.survey().names["visit"].rows == 1


def test_columns_may_lie_in_others(tmp_path: Path) -> None:
    frame = log().with_columns(who=pl.struct(id="user_id", kind="event")).drop("user_id", "arrived_at", "event_id")
    columns = {"user": "who.id", "event": "who.kind", "time": "event_time"}
    path = written_as("parquet", frame, tmp_path)
    rules = definition(tmp_path, path=path, columns=columns)
    assert EventLog(rules).read().users.to_list() == ["a", "b"]
    visit = with_signal("visit", where="\"who.kind\" = 'visit'")
    by_result = Definition.model_validate(
        DEFINITION | {"events": rules.events.model_dump(mode="json"), "signals": visit}
    )
    assert EventLog(by_result).read().users.to_list() == ["a", "b"]


@pytest.mark.parametrize("name", ["User (id)", "user-id", "user id", "user.id", "SELECT"])
def test_a_column_may_have_a_name_that_reads_as_sql(name: str, tmp_path: Path) -> None:
    frame = log().rename({"user_id": name}).drop("arrived_at")
    columns = {"user": name, "event": "event", "time": "event_time"}
    for kind in ("parquet", "csv"):
        path = written_as(kind, frame, tmp_path)
        assert EventLog(definition(tmp_path, path=path, columns=columns)).read().users.to_list() == ["a", "b"]


@pytest.mark.parametrize(
    ("user", "problem"),
    [
        ("COALESCE(user_id, visitor)", "uses 'visitor', which the log does not have"),
        ("usr", "is 'usr', which the log does not have"),
        ("user-id", "is 'user-id', which the log does not have"),
        ("(SELECT 1)", "is '(SELECT 1)', which the log does not have"),
        ("getenv(user_id)", "cannot|is not allowed|use columns"),
        ("COALESCE(user_id, (SELECT event))", "cannot|is not allowed|use columns"),
    ],
)
def test_a_column_that_cannot_be_computed_is_refused(user: str, problem: str, tmp_path: Path) -> None:
    with pytest.raises((EventLogError, DefinitionError), match=re.escape(problem) if "|" not in problem else problem):
        open_log(tmp_path, log(), columns=COLUMNS | {"user": user})
