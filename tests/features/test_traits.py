"""Attributes are seen as events are: what becomes known at a cutoff, or later, is not seen by it."""

import json
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.definition import Definition
from features.events.compacted import NONE
from features.rows import INSTANT
from features.time import DAY
from features.traits import stored_traits, with_traits
from tests.oracle import Attribute, plan_at
from tests.worlds import definition_of

START = 20_000 * DAY

#: instants that crowd around the same few, a microsecond apart
instants = st.builds(lambda day, more: START + day * DAY + more, st.integers(0, 3), st.integers(-1, 1))
reported = st.lists(
    st.builds(Attribute, st.sampled_from("ab"), instants, st.sampled_from(["free", "pro"]) | st.none()),
    max_size=8,
    unique_by=lambda t: (t.user, t.known),
)


@given(reported, st.lists(instants, min_size=1, max_size=4, unique=True))
def test_a_cutoff_sees_what_was_known_before_it(answer: list[Attribute], cutoffs: list[int]) -> None:
    asked = [(user, c) for user in "ab" for c in cutoffs]
    rows = pl.DataFrame(asked, schema={"user": pl.String, "cutoff": INSTANT}, orient="row")
    found = with_traits(rows, table(answer))
    assert found["plan"].to_list() == [plan_at(answer, user, c) for user, c in asked]


def test_what_is_stored_says_from_which_cutoff_on_it_is_seen(tmp_path: Path) -> None:
    """A table that repeats a value each night has known it since the first time."""
    answer = [
        Attribute("a", START, "free"), Attribute("a", START + DAY, "free"), Attribute("a", START + 2 * DAY, "pro"),
        Attribute("b", START, None), Attribute("c", START, "pro"), Attribute("c", START + DAY, None),
    ]  # fmt: skip
    definition = declared(tmp_path, answer)
    found = stored_traits(definition, START + 2 * DAY, NONE)
    assert found is not None
    assert sorted(found.rows()) == [
        ("a", '{"plan":"free"}', START + 1),
        ("b", '{"plan":null}', 0),
        ("c", '{"plan":null}', START + DAY + 1),
    ]


@given(reported)
def test_a_value_is_known_since_it_was_first_said_again(
    tmp_path_factory: pytest.TempPathFactory, answer: list[Attribute]
) -> None:
    expected = {}
    for user in {t.user for t in answer}:
        was, since = None, 0
        for t in sorted((t for t in answer if t.user == user and t.known < START + 3 * DAY), key=lambda t: t.known):
            was, since = t.plan, t.known + 1 if t.plan != was else since
            expected[user] = (json.dumps({"plan": was}, separators=(",", ":")), since)
    found = stored_traits(declared(tmp_path_factory.mktemp("traits"), answer), START + 3 * DAY, NONE)
    assert found is not None
    assert {user: (traits, since) for user, traits, since in found.rows()} == expected


def table(answer: list[Attribute]) -> pl.DataFrame:
    schema = {"user": pl.String, "known": INSTANT, "plan": pl.String}
    rows = [(t.user, t.known, t.plan) for t in answer]
    return pl.DataFrame(rows, schema=schema, orient="row")


def declared(folder: Path, answer: list[Attribute]) -> Definition:
    table(answer).write_parquet(folder / "traits.parquet")
    columns = {"user": "user", "known": "known"}
    return definition_of(traits={"path": str(folder / "traits.parquet"), "columns": columns, "fields": ["plan"]})
