"""The team gets each finding once, and what was not delivered again."""

from dataclasses import replace
from pathlib import Path

import pytest

from features.definition import Definition
from monitoring.findings import Finding
from monitoring.notices import send_notices
from tests.serving.activation.receivers import Answer, Receiver
from tests.worlds import definition_of

LEVEL = Finding("churn", "level_moved", True, "churn happens more often than predicted", "train again")
LATE = Finding("scores", "batch_missing", True, "no batch of scores since 2026-02-15", "run propensity score")


def of(url: str, **more: object) -> Definition:
    team = {"kind": "notice", "url": url, "of": ["segments"], "allow_private": True, "timeout": 5}
    hook = {"kind": "webhook", "url": "https://example.com", "secret": "HOOK_SECRET", "of": ["segments"]}
    return definition_of(destinations={"team": team | more, "hook": hook})


@pytest.fixture
def rules(receiver: Receiver) -> Definition:
    return of(receiver.url.replace("http://", "json://"))


def texts(receiver: Receiver) -> list[str]:
    return [str(one.json["message"]) for one in receiver.requests]


def test_each_finding_is_sent_once_for_as_long_as_it_lasts(
    receiver: Receiver, rules: Definition, tmp_path: Path
) -> None:
    assert send_notices([LEVEL], rules, tmp_path) == {}
    assert send_notices([replace(LEVEL, words="with other numbers"), LATE], rules, tmp_path) == {}
    assert send_notices([LEVEL, LATE], rules, tmp_path) == {}
    assert texts(receiver) == [
        "alarm: churn happens more often than predicted. train again",
        "alarm: no batch of scores since 2026-02-15. run propensity score",
    ]
    assert receiver.requests[0].json["title"] == "Monitor of small"
    send_notices([LATE], rules, tmp_path)
    send_notices([LEVEL, LATE], rules, tmp_path)
    assert len(receiver.requests) == 3, "it was gone, and is new again"
    send_notices([replace(LEVEL, version="churn/2"), LATE], rules, tmp_path)
    assert len(receiver.requests) == 4, "another model is another finding"


def test_what_was_not_delivered_is_tried_again(receiver: Receiver, rules: Definition, tmp_path: Path) -> None:
    receiver.answer = lambda n, _: Answer(status=500 if n == 0 else 200)
    failed = send_notices([LEVEL], rules, tmp_path)
    assert failed.keys() == {"team"}
    assert "refused the notice" in failed["team"]
    assert send_notices([LEVEL], rules, tmp_path) == {}
    assert send_notices([LEVEL], rules, tmp_path) == {}
    assert len(receiver.requests) == 2


def test_an_address_that_is_not_in_the_environment_fails_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TEAM_URL", raising=False)
    failed = send_notices([LEVEL], of("${TEAM_URL}"), tmp_path)
    assert "TEAM_URL" in failed["team"]


def test_a_service_with_a_host_of_its_own_is_refused(receiver: Receiver, tmp_path: Path) -> None:
    failed = send_notices([LEVEL], of(receiver.url.replace("http://", "json://"), allow_private=False), tmp_path)
    assert "host is not fixed" in failed["team"]
    assert receiver.requests == []


def test_without_a_destination_of_notices_nothing_is_kept(tmp_path: Path) -> None:
    assert send_notices([LEVEL], definition_of(), tmp_path) == {}
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_record_tells_again(receiver: Receiver, rules: Definition, tmp_path: Path) -> None:
    send_notices([LEVEL], rules, tmp_path)
    (tmp_path / "noticed.json").write_text("{")
    send_notices([LEVEL], rules, tmp_path)
    assert len(receiver.requests) == 2
