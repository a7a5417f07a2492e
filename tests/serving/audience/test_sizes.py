"""Sizes are those of the scorer, counted by loops."""

import re

import numpy as np
import polars as pl
import pytest

from features.definition.file.load import segment_schema
from features.errors import DefinitionError
from features.expressions.program import holds
from segments.holdout import Holdout
from serving.audience.sizes import size_of
from serving.scoring.scores import Scored
from tests.serving.audience.conftest import Batch

RULE = "days_since_visit < 60 AND purchase_count_60d = 0 AND (platform = 'ios' OR visit_count_30d >= 3)"


@pytest.fixture(scope="module")
def frame(scored: Scored, batch: Batch) -> pl.DataFrame:
    """Every column that a rule may name, of every user, beside the user."""
    columns = list(segment_schema(batch.world.definition))
    numbers = scored.values(columns)
    own = scored.rows.frame(columns)
    return own.hstack(scored.frame.select(c for c in numbers if c not in own.columns))


def users_of(sql: str, frame: pl.DataFrame) -> set[str]:
    return set(frame.filter(holds(sql, frame))["user"])


def test_size_conditions_and_who_enters_and_leaves(batch: Batch, frame: pl.DataFrame) -> None:
    saved = "days_since_visit < 30 AND visit_count_30d >= 5"
    found = size_of(batch.population, RULE, saved=saved, name="draft", share=0.25)
    inside, before = users_of(RULE, frame), users_of(saved, frame)
    parts = ["days_since_visit < 60", "purchase_count_60d = 0", "(platform = 'ios' OR visit_count_30d >= 3)"]
    assert (found.cutoff, found.population, found.size) == (batch.log.ends, len(frame), len(inside))
    assert found.joined == "all"
    for i, condition in enumerate(found.conditions):
        without = users_of(" AND ".join(p for p in parts if p != parts[i]), frame)
        assert (condition.holds, condition.without) == (len(users_of(parts[i], frame)), len(without))
        assert condition.removes == len(without - inside) >= 0
    assert found.enter is not None
    assert found.leave is not None
    for some, expected in ((found.enter, inside - before), (found.leave, before - inside)):
        assert some.count == len(expected) > 10
        assert len(set(some.examples)) == 10
        assert set(some.examples) <= expected
    assert (found.held_out or 0) / found.size == pytest.approx(0.25, abs=0.05)


def test_or_adds_what_and_removes(batch: Batch, frame: pl.DataFrame) -> None:
    found = size_of(batch.population, "platform = 'ios' OR days_since_visit < 3")
    ios, here = users_of("platform = 'ios'", frame), users_of("days_since_visit < 3", frame)
    assert (found.joined, found.size) == ("any", len(ios | here))
    assert [c.removes for c in found.conditions] == [-len(ios - here), -len(here - ios)]
    assert (found.enter, found.leave, found.held_out, found.share) == (None, None, None, None)


def test_those_held_out_are_those_of_the_batch(batch: Batch, scored: Scored) -> None:
    for name, rule in batch.world.definition.segments.items():
        found = size_of(batch.population, rule.when, name=name)
        held = scored.frame["holdout"].list.contains(name).sum()
        assert (found.held_out, found.size) == (held, scored.frame["segments"].list.contains(name).sum()), name
        assert found.share == batch.world.definition.transitions.holdout
    assert set(Holdout(batch.world.definition).known) >= {"segments.repeat_buyer"}


def test_absence_counts_who_is_known_for_less(batch: Batch, frame: pl.DataFrame) -> None:
    found = size_of(batch.population, f"{RULE} AND NOT (purchase_count_90d >= 1 OR cart_add_count_2h > 0)")
    inside = users_of(RULE, frame) & users_of("purchase_count_90d = 0 AND cart_add_count_2h = 0", frame)
    assert [absence.window for absence in found.absences] == ["60d", "90d", "2h"]
    for absence, days in zip(found.absences, (60, 90, 1 / 12), strict=True):
        new = inside & set(frame.filter(pl.col("tenure_days") < days)["user"])
        assert absence.known_less.count == len(new)
        assert set(absence.known_less.examples) <= new
    assert found.absences[0].known_less.count > 10


def test_other_segments_may_be_named(batch: Batch, frame: pl.DataFrame) -> None:
    rules = batch.world.definition.segments
    found = size_of(batch.population, "segments.repeat_buyer AND NOT segments.buyers_leaving")
    inside = users_of(rules["repeat_buyer"].when, frame) - users_of(rules["buyers_leaving"].when, frame)
    assert found.size == len(inside) > 0
    assert [c.node.kind for c in found.conditions] == ["member", "member"]


def test_one_condition_finds_everybody_without_it(batch: Batch) -> None:
    [condition] = size_of(batch.population, "visit_count_total = 0").conditions
    assert condition.without == 3_000


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("visits > 3", "segments.draft: unknown column 'visits' in 'visits > 3'. Fix: nearest: "),
        ("state = 'gone'", "state is never 'gone'. Fix: nearest: "),
        ("plan > 3", "are of different kinds. Fix: compare numbers with numbers"),
        ("tenure_days", "is not a yes/no question. Fix: compare it"),
        ("segments.repeat_byer", "there is no segment 'repeat_byer'. Fix: nearest: repeat_buyer"),
        ("1 = 1; DROP TABLE x", "is 2 statements"),
        ("", "segments.draft: the rule is empty. Fix: write a condition"),
        ("EXISTS (SELECT 1)", "is not allowed here"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_a_remedy(batch: Batch, sql: str, words: str) -> None:
    with pytest.raises(DefinitionError, match=re.escape(words)):
        size_of(batch.population, sql)


def test_a_rule_without_columns(batch: Batch) -> None:
    assert size_of(batch.population, "1 = 1").size == 3_000
    assert size_of(batch.population, "1 = 2", saved="1 = 1").leave is not None
    assert np.isclose(size_of(batch.population, "TRUE").size, 3_000)
