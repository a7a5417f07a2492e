"""Situations of public reports: states and segments that need no model, from the files of each case."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from features.definition import load_definition
from features.log.source import EventLog
from serving.rows import batch_rows
from serving.scorer import Scorer

CASES = Path(__file__).parents[1] / "cases"


@dataclass(frozen=True)
class Called:
    """What a user is called."""

    state: str
    segments: frozenset[str]


def called(case: str) -> dict[str, Called]:
    """Everybody's state and segments where a case's log ends, without any model."""
    definition = load_definition(CASES / case / "propensity.yaml")
    log = EventLog(definition)
    scorer, found = Scorer(definition, {}, None), dict[str, Called]()
    for rows in batch_rows(log.read(), definition, log.ends, None):
        scored = scorer.score(rows, np.full(len(rows), log.ends))
        for record in scored.to_records():
            found[record.user_id] = Called(str(record.state), frozenset(record.segments))
    return found


def test_who_came_back_after_leaving_is_not_churned() -> None:
    found = called("03-cancelled-then-resubscribed")
    assert found["q"].state == "churned"
    assert found["s"].state == "churned", "in the very second of leaving, the leaving counts"
    assert found["r"].state in ("active", "resurrected", "loyal")


def test_a_second_trial_is_a_trial() -> None:
    found = called("13-second-trial")
    inside = {user for user, it in found.items() if "trial_about_to_end" in it.segments}
    assert inside == {"former", "first"}
    assert {user for user, it in found.items() if it.state == "churned"} == {"gone"}


def test_an_emptied_cart_is_not_abandoned() -> None:
    found = called("24-cart-emptied")
    inside = {user for user, it in found.items() if "cart_abandoned_24h" in it.segments}
    assert inside == {"kp"}


def test_who_is_back_is_resurrected_for_a_week() -> None:
    found = called("25-back-after-weeks")
    assert {user for user, it in found.items() if it.state == "resurrected"} == {"two_days", "one_day", "a_month"}
    assert found["weekly"].state == "active"


@pytest.mark.parametrize("case", ["03-cancelled-then-resubscribed", "13-second-trial", "25-back-after-weeks"])
def test_one_user_is_called_as_in_the_batch(case: str) -> None:
    definition = load_definition(CASES / case / "propensity.yaml")
    log, every = EventLog(definition), called(case)
    scorer = Scorer(definition, {}, None)
    for rows in batch_rows(log.read(), definition, log.ends, None):
        for record in scorer._score_few(rows, np.full(len(rows), log.ends)).to_records():
            assert every[record.user_id].state == record.state
