"""Answers in the database of the live log: which stay of many, in what order they come, and until when."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from features.time import DAY
from serving.database.live_answers import LiveAnswer, LiveAnswers
from serving.database.log.live_log import LiveLog
from serving.database.schema import connect


@pytest.fixture(params=["sqlite", "postgresql"])
def live(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[LiveLog]:
    address = f"sqlite:///{tmp_path / 'live.db'}" if request.param == "sqlite" else request.getfixturevalue("postgres")
    log = LiveLog(connect(address))
    yield log
    log.close()


def answer(user: str, at: int, p: float = 0.5) -> LiveAnswer:
    return LiveAnswer("churn", user, at, "churn/1", p, "likely", None)


def test_of_a_user_and_day_the_earliest_stays_whoever_writes_first(live: LiveLog) -> None:
    answers = LiveAnswers(live)
    answers.add([answer("u1", DAY + 7, 0.7), answer("u2", DAY + 1)], most=10, since=0)
    answers.add([answer("u1", DAY + 5, 0.5), answer("u1", DAY + 6, 0.6), answer("u1", 2 * DAY)], most=10, since=0)
    assert answers.of_day("churn", DAY) == [answer("u1", DAY + 5, 0.5), answer("u2", DAY + 1)]
    assert answers.days("churn") == [DAY, 2 * DAY]
    answers.remove("churn", DAY, ["u1"])
    assert answers.of_day("churn", DAY) == [answer("u2", DAY + 1)]
    answers.add([answer("u3", 90 * DAY)], most=10, since=60 * DAY)
    assert answers.days("churn") == [90 * DAY], "what nobody has read for so long is removed"


@pytest.mark.parametrize("cut", [lambda n: [range(n)], lambda n: [range(400, n), range(200), range(200, 400)]])
def test_of_many_the_same_ones_stay_whoever_writes_first(live: LiveLog, cut: Callable[[int], list[range]]) -> None:
    answers, many = LiveAnswers(live), [answer(f"u{i}", 100 * DAY + i) for i in range(500)]
    for part in cut(len(many)):
        answers.add([many[i] for i in part], most=5, since=0)
    assert [one.user for one in answers.of_day("churn", 100 * DAY)] == ["u160", "u181", "u3", "u34", "u476"]


def test_who_was_erased_is_not_written_again(live: LiveLog) -> None:
    answers = LiveAnswers(live)
    answers.add([answer("u1", DAY), answer("u2", DAY)], most=10, since=0)
    assert live.erase(["u1"])["live answers"] == 1
    answers.add([answer("u1", DAY)], most=10, since=0)
    assert live.rows_of(["u1"])["live_answers"] == 0
    assert live.rows_of(["u2"])["live_answers"] == 1
