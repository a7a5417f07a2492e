"""A topic that cannot be read is reported in words, and read as soon as that is possible; nothing is passed over."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from features.errors import PropensityError, SettingsError, StoreError, TopicError, UnavailableError
from features.settings import Settings
from serving.database.log.live_log import LiveLog
from serving.database.topics import Position, positions, restart
from serving.ingest.topic.consumer import Record, Topic
from serving.ingest.topic.place import moved_on
from serving.process import metrics
from tests.brokers import Broker
from tests.ports import free_port
from tests.serving.ingest.asking import until
from tests.serving.ingest.topic.scenes import TopicScene, track, visits

#: a broker keeps 5 MB of a partition, and removes the oldest messages beyond
LARGE = 100_000


@pytest.fixture
def stage(broker: Broker, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[TopicScene]:
    settings = Settings(home=tmp_path / "var", kafka=broker.address, kafka_topic=f"faults-{tmp_path.name}")
    made = TopicScene.set_up(tmp_path, broker, settings)
    yield made
    made.scene.live.close()


def ids(stage: TopicScene) -> list[str]:
    return sorted(m.id for m in stage.messages)


def names(first: int, count: int) -> list[str]:
    return sorted(f"m{i}" for i in range(first, first + count))


@pytest.mark.long
def test_brokers_that_are_away_are_waited_for(stage: TopicScene) -> None:
    own = Broker()
    stage.broker = own
    stage.settings = stage.settings.model_copy(update={"kafka": own.address})
    stage.write_messages(visits(0, 10))
    own.freeze()
    reader = stage.reader()
    reader.start()
    try:
        until(lambda: reader.trouble, 30)
        assert reader.trouble.startswith(f"Kafka at {own.address} does not answer: ")
        assert "Fix: start it, or correct PROPENSITY_KAFKA" in reader.trouble
        assert reader.alive
        own.thaw()
        until(lambda: ids(stage) == names(0, 10), 30)
        assert reader.trouble == ""
        own.freeze()
        until(lambda: reader.trouble, 60)
        own.thaw()
        stage.write_messages(visits(10, 5))
        until(lambda: ids(stage) == names(0, 15), 60)
    finally:
        own.thaw()
        reader.close()
        own.stop()
    assert b"propensity_topic_errors_total" in metrics.page()


@pytest.mark.parametrize("brokers", ["127.0.0.1:{port}", "nowhere.invalid:9092"])
def test_an_address_where_nobody_is_is_named(stage: TopicScene, brokers: str) -> None:
    address = brokers.format(port=free_port())
    trouble = stage.trouble(kafka=address)
    assert trouble.startswith(f"Kafka at {address} does not answer: ")


def test_a_topic_that_is_not_there_is_named_and_waited_for(stage: TopicScene) -> None:
    assert f"has no topic '{stage.topic}'" in stage.trouble()
    stage.write_messages(visits(0, 3))
    stage.read()
    assert ids(stage) == names(0, 3)


@pytest.mark.parametrize("protocol", ["SASL_PLAINTEXT", "SSL"])
def test_brokers_that_do_not_let_us_in_are_reported_without_the_password(stage: TopicScene, protocol: str) -> None:
    options = (
        f'{{"security.protocol": "{protocol}", "sasl.mechanism": "PLAIN", "sasl.username": "me", '
        '"sasl.password": "hush-hush"}'
    )
    stage.write_messages(visits(0, 1))
    trouble = stage.trouble(kafka_options=SecretStr(options))
    assert "does not let us in" in trouble
    assert "PROPENSITY_KAFKA_OPTIONS" in trouble
    assert "hush" not in trouble


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ('{"sasl.pasword": "hush"}', 'No such configuration property: "sasl.pasword"'),
        ('{"security.protocol": "TLS"}', "security.protocol"),
        ('{"group.id": "ours", "auto.offset.reset": "latest"}', "sets auto.offset.reset, group.id"),
        ("hush", "is not a JSON object"),
        ('["hush"]', "is not a JSON object"),
        ('{"sasl.password": ["hush"]}', "is not a JSON object"),
    ],
)
def test_options_that_cannot_be_are_refused_at_once(tmp_path: Path, options: str, words: str) -> None:
    pytest.importorskip("confluent_kafka", reason="confluent-kafka is not installed (CI has it)")
    with pytest.raises(SettingsError, match=words) as error:
        Topic(Settings(home=tmp_path, kafka="127.0.0.1:9", kafka_topic="events", kafka_options=options))
    assert "hush" not in str(error.value).replace("sasl.pasword", "")


def test_brokers_without_a_topic_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"PROPENSITY_KAFKA_TOPIC is ''.*set both"):
        Settings(home=tmp_path, kafka="127.0.0.1:9")


def test_the_extra_that_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "confluent_kafka", None)
    with pytest.raises(PropensityError, match=r"pip install 'propensity\[kafka\]'"):
        Topic(Settings(home=tmp_path, kafka="127.0.0.1:9", kafka_topic="events"))


def test_messages_that_the_topic_removed_before_they_were_read_are_never_passed_over(stage: TopicScene) -> None:
    stage.write_messages(visits(0, 3))
    stage.read()
    partition = stage.partitions[0]
    large = track("u001", properties={"note": "x" * LARGE})
    for _ in range(60):
        stage.write(large)
    trouble = stage.trouble()
    lost = stage.partitions[0].begins - (partition.next or 0)
    assert f"no longer has {lost:,} messages of partition 0 that were not read" in trouble
    assert "propensity kafka restart" in trouble
    assert ids(stage) == names(0, 3), "nothing after them is read"
    assert [p.lost for p in stage.restart()] == [lost, 0, 0, 0]
    stage.write_messages(visits(0, 7))
    stage.read()
    assert ids(stage) == names(0, 7), "what was there before is there once"


def test_messages_that_are_removed_while_it_reads_are_reported(stage: TopicScene) -> None:
    """The broker says so itself: the reader is at an offset that is gone."""
    stage.write_messages(visits(0, 3))
    stage.read()
    with pytest.raises(TopicError, match="no longer has the messages that come next"):
        _poll_from(stage, 1_000_000)


def _poll_from(stage: TopicScene, offset: int) -> None:
    topic = Topic(stage.settings)
    try:
        topic.read_from({0: offset})
        for _ in range(100):
            topic.poll(10, 0.1)
    finally:
        topic.close()


def test_another_topic_of_the_same_name_is_refused(stage: TopicScene) -> None:
    """It was removed and made again: its offsets are the same numbers, and mean other messages."""
    stage.write_messages(visits(0, 30))
    stage.read()
    here = positions(stage.scene.live, stage.topic)
    written = Position(here[1].next - 1, here[1].next - 2, time=5, size=here[1].size)
    restart(stage.scene.live, stage.topic, here | {1: written})
    assert "partition 1" in (trouble := stage.trouble())
    assert "holds another message than was read there" in trouble
    restart(stage.scene.live, stage.topic, here | {2: Position(here[2].next + 1)})
    assert f"ends at offset {here[2].next}, and was read through {here[2].next}" in stage.trouble()
    restart(stage.scene.live, stage.topic, here | {4: Position(0)})
    assert "has no partition 4 any more" in stage.trouble()
    stage.restart()
    stage.read()
    assert ids(stage) == names(0, 30)


def test_a_partition_that_was_added_is_read_from_its_beginning(stage: TopicScene) -> None:
    stage.write_messages(visits(0, 30))
    at = {p.number: Position(p.ends) for p in stage.partitions if p.number != 3}
    restart(stage.scene.live, stage.topic, at)
    stage.read(kafka_start="latest")
    assert 0 < len(stage.messages) < 30
    assert positions(stage.scene.live, stage.topic).keys() == {0, 1, 2, 3}


def test_marks_of_transactions_at_the_end_are_no_messages_that_wait() -> None:
    at = {0: Position(5, 4, 1_000, 20), 1: Position(0)}
    new, after = moved_on("t", at, [Record(0, 4, 1_000, b"x" * 20), Record(0, 6, 2_000, None)], {0: 9, 1: 0})
    assert new == [Record(0, 6, 2_000, None)]
    assert after == {0: Position(9, 6, 2_000, -1)}


def test_a_live_log_that_is_away_is_waited_for(stage: TopicScene, monkeypatch: pytest.MonkeyPatch) -> None:
    append, failures = LiveLog.append, iter([1, 2])

    def failing(live: LiveLog, *messages: object, **more: object) -> list[str]:
        if next(failures, None):
            raise UnavailableError("the live log does not answer: gone.", fix="send the same again a moment later")
        return append(live, *messages, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(LiveLog, "append", failing)
    stage.write_messages(visits(0, 10))
    reader = stage.reader()
    reader.start()
    until(lambda: ids(stage) == names(0, 10))
    reader.close()
    assert next(failures, None) is None


def test_a_message_that_the_database_cannot_hold_holds_up_no_other(
    stage: TopicScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    append = LiveLog.append

    def failing(live: LiveLog, messages: list[object], *rest: object, **more: object) -> list[str]:
        if any("poison" in str(message) for message in messages):
            raise StoreError("the live log's database cannot hold this: out of range.")
        return append(live, messages, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(LiveLog, "append", failing)
    stage.write_messages(visits(0, 5))
    stage.write(track("u001", "poison"))
    stage.write_messages(visits(5, 5))
    stage.read()
    assert ids(stage) == names(0, 10)
    [letter] = stage.scene.live.dead_letters()
    assert (letter.code, letter.body) == ("not_storable", "")
    assert "partition 0, offset" in letter.reason
