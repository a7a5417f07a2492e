"""A user id has one normal form, wherever it comes from: files, messages, requests, the command line."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from features.definition import Definition
from features.engines import duckdb as engine
from features.reading.live_messages import LogColumns
from features.reading.source import EventLog
from features.user_id import SPACE, UserId, UserIdError, user_id
from serving.ingest.tracking import Tracking
from tests.features.event_store.logs import definition_in, put, random_rows
from tests.worlds import DEFINITION

TYPES = {"user_id": "VARCHAR", "event": "VARCHAR", "event_time": "TIMESTAMP WITH TIME ZONE"}
API: TypeAdapter[str] = TypeAdapter(UserId)

odd = st.sampled_from(
    ["\x00", "\t", "\n", " ", "\xa0", "\u3000", "\x85", "\u200b", "\ufeff", "e\u0301", "é", "👩‍👧", "/"]
)
texts = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from(["a", "0", "."]), max_size=20)
ids = st.lists(odd | texts, max_size=6).map("".join) | st.integers(250, 260).map(lambda n: "x" * n)
numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False)


def form(value: object) -> str | None:
    """As plain Python has it; None where it is no id."""
    try:
        return user_id(value)
    except UserIdError:
        return None


def in_file(value: object, dtype: str) -> str | None:
    """As the reader of files has it."""
    with engine.connect() as connection:
        sql = f"SELECT {engine.user_sql('u', dtype)} FROM (SELECT CAST($1 AS {dtype}) AS u)"
        found = connection.execute(sql, [value]).fetchall()[0][0]
    return str(found) if found is not None else None


def live(value: object, dtype: str = "VARCHAR") -> str | None:
    definition = Definition.model_validate(DEFINITION | {"events": definition_in(Path()).events.model_dump()})
    tracking = Tracking(LogColumns(definition, TYPES | {"user_id": dtype}))
    answer = json.loads(json.dumps({"userId": value, "event": "visit"}))
    read = tracking.read([answer], kind="track", sent=None, received=1)
    return read.messages[0][1].user if read.messages else None


def asked(value: object) -> str | None:
    try:
        return API.validate_python(value)
    except ValidationError:
        return None


@given(ids)
@example("\x1c u \u2028")
@example("u\x00")
@example("\x00live")
@example("a/b")
def test_text_is_the_same_user_everywhere(text: str) -> None:
    here = form(text)
    assert here == in_file(text, "VARCHAR") == live(text) == asked(text)
    assert here is None or form(here) == here, "the normal form of a normal form is itself"


@given(numbers)
@example(42)
@example(42.0)
@example(-0.0)
@example(2**53)
@example(float(2**53))
@example(1e16)
@example(1.5e-7)
def test_a_number_is_the_same_user_everywhere(number: float) -> None:
    here = form(number)
    assert here == live(number) == asked(number)
    if isinstance(number, float) or -(2**63) <= number < 2**63:
        assert here == in_file(number, "BIGINT" if isinstance(number, int) else "DOUBLE")


@given(
    st.integers(-130, 130) | st.floats(-130, 130) | texts,
    st.sampled_from(["TINYINT", "UTINYINT", "DOUBLE", "DECIMAL(9, 2)", "UUID"]),
)
@example("042", "TINYINT")
@example("1_0", "TINYINT")
@example("-0", "TINYINT")
@example("128", "TINYINT")
@example("42.00", "DECIMAL(9, 2)")
def test_live_takes_what_the_column_gives_back(value: Any, dtype: str) -> None:
    taken = live(value, dtype)
    assert taken in (None, form(value))
    with engine.connect() as connection:
        kept = f"(SELECT TRY_CAST($1 AS {dtype}) AS u)"
        back = connection.execute(f"SELECT {engine.user_sql('u', dtype)} FROM {kept}", [form(value)]).fetchall()[0][0]
    assert (taken is not None) == (back is not None and back == form(value))


@pytest.mark.parametrize("value", [True, None, [], {}, float("nan"), float("inf"), "", " \t", "half \ud800", 10**300])
def test_what_is_no_id(value: object) -> None:
    with pytest.raises(UserIdError):
        user_id(value)
    assert asked(value) is None


def test_white_space_is_what_python_calls_so() -> None:
    assert set(SPACE) == {chr(c) for c in range(0x110000) if chr(c).isspace()}


def test_rows_whose_id_no_log_can_hold_are_counted(tmp_path: Path) -> None:
    rows = random_rows(40, users=3)
    wrong = ["", "\t\n", "x" * 257, "nul\x00", "\x00live", None]
    names = [*wrong, *(f"\u2003u{i} " for i in range(34))]
    put(tmp_path, "a", rows.with_columns(pl.Series("user_id", names)))
    read = EventLog(definition_in(tmp_path)).read()
    assert read.counts["no user"] == len(wrong)
    assert all(user.startswith("u") and user == user.strip() for user in read.users)


def test_float_columns_hold_the_ids_that_messages_send(tmp_path: Path) -> None:
    rows = random_rows(8, users=3)
    put(tmp_path, "a", rows.with_columns(pl.Series("user_id", [float(i) for i in range(8)])))
    assert set(EventLog(definition_in(tmp_path)).read().users) <= {str(i) for i in range(8)}
    assert live(7, "DOUBLE") == live(7.0, "DOUBLE") == live("7", "DOUBLE") == "7"
