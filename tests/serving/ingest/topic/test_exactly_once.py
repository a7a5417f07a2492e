"""Readers are killed anywhere, and several read at once: each message is in the live log once, in its order."""

import os
import random
import subprocess
import sys
import time

import pytest

from serving.database.log.live_log import LiveLog
from serving.database.topics import RENEW, TopicLease
from serving.ingest.topic import reader as reading
from tests.brokers import partition_of
from tests.conftest import ROOT
from tests.serving.ingest.asking import until
from tests.serving.ingest.topic.scenes import TopicScene, visits

SENT = 300


def reading_process(stage: TopicScene, fatal: int, when: str = "before") -> subprocess.Popen[bytes]:
    file = stage.scene.folder / "definition.json"
    file.write_text(stage.scene.definition.model_dump_json())
    settings = {"HOME": stage.settings.home, "KAFKA": stage.settings.kafka, "KAFKA_TOPIC": stage.topic,
                "LIVE_LOG": stage.settings.live_log.get_secret_value()}  # fmt: skip
    environment = os.environ | {f"PROPENSITY_{name}": str(value) for name, value in settings.items() if value}
    command = [sys.executable, "-m", "tests.serving.ingest.topic.dying", str(file), str(fatal), when]
    return subprocess.Popen(command, env=environment, cwd=ROOT)


def check(stage: TopicScene, sent: int = SENT) -> None:
    found, expected = [m.id for m in stage.messages], [m.id for m in visits(0, sent)]
    assert sorted(found) == sorted(expected)
    for partition in range(4):
        theirs = {m.id for m in visits(0, sent) if partition_of(m.user) == partition}
        assert [name for name in found if name in theirs] == [name for name in expected if name in theirs]


@pytest.mark.long
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_reader_that_is_killed_around_a_transaction_goes_on_as_if_it_had_not(stage: TopicScene, when: str) -> None:
    stage.write_messages(visits(0, SENT))
    for fatal in (1, 2, 3):
        process = reading_process(stage, fatal, when)
        assert process.wait(60) == -9
        assert len(stage.messages) < SENT
    stage.read()
    check(stage)


@pytest.mark.long
def test_readers_that_are_killed_at_any_moment_lose_and_double_nothing(stage: TopicScene) -> None:
    random.seed(7)
    stage.write_messages(visits(0, SENT))
    for i in range(6):
        processes = [reading_process(stage, 0), reading_process(stage, 0)]
        stage.write_messages(visits(SENT + 20 * i, 20))
        time.sleep(3 + random.random() * 4)  # noqa: S311
        for process in processes:
            process.kill()
            process.wait(20)
    stage.read()
    check(stage, SENT + 120)


def test_two_that_read_at_once_take_each_message_once(stage: TopicScene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both believe that the topic is theirs, as when a lease has run out unnoticed."""
    monkeypatch.setattr(TopicLease, "mine", lambda _: True)
    monkeypatch.setattr(reading, "MOST", 7)
    other = LiveLog.open(stage.scene.definition, stage.settings)
    readers = [stage.reader(), stage.reader(live=other)]
    stage.write_messages(visits(0, SENT // 2))
    for reader in readers:
        reader.start()
    stage.write_messages(visits(SENT // 2, SENT - SENT // 2))
    until(lambda: len(stage.messages) >= SENT, 60)
    for reader in readers:
        assert reader.trouble == ""
        reader.close()
    other.close()
    check(stage)


def test_one_reads_and_another_takes_over_at_once_when_it_stops(stage: TopicScene) -> None:
    other = LiveLog.open(stage.scene.definition, stage.settings)
    mine, theirs = TopicLease(stage.scene.live, stage.topic, "a"), TopicLease(other, stage.topic, "b")
    assert [mine.mine(), theirs.mine(), mine.mine()] == [True, False, True]
    mine.give_back()
    time.sleep(RENEW)
    assert theirs.mine()
    mine.give_back()
    assert theirs.mine(), "what is not mine I cannot give back"
    theirs.give_back()
    other.close()


def test_a_reader_that_waits_notices_that_the_topic_is_to_be_read_again(
    stage: TopicScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "LOOK", 0.1)
    stage.write_messages(visits(0, 20))
    reader = stage.reader()
    reader.start()
    until(lambda: stage.waiting == 0)
    stage.restart()
    assert stage.waiting == 20
    until(lambda: stage.waiting == 0)
    assert reader.trouble == ""
    reader.close()
    check(stage, 20)
