"""Events of a topic count once, as if they had come over HTTP, whatever is repeated, bad, late or erased."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings

from features.reading.live_messages import LogColumns
from features.settings import Settings
from features.time import HOUR, to_datetime
from serving.ingest.reconcile import reconcile
from serving.ingest.replay import replay
from serving.ingest.tracking import Tracking, as_sent
from serving.upkeep.erase import erase
from tests.brokers import Broker
from tests.serving.ingest.scenes import BEGIN, message
from tests.serving.ingest.test_fold import WORTH, happenings
from tests.serving.ingest.topic.scenes import NOW, TopicScene, track, visits


def test_each_message_of_each_partition_is_taken_once_in_the_order_of_its_partition(stage: TopicScene) -> None:
    sent = visits(0, 50)
    stage.write_messages(sent[:30])
    stage.read()
    stage.write_messages(sent[30:])
    stage.read()
    stage.read()
    found = stage.messages
    assert sorted(m.id for m in found) == sorted(m.id for m in sent)
    for user in {m.user for m in sent}:
        assert [m.id for m in found if m.user == user] == [m.id for m in sent if m.user == user]
    assert {(m.id, m.t) for m in found} == {(m.id, m.t) for m in sent}
    assert {p.next for p in stage.partitions} == {p.ends for p in stage.partitions}


@hypothesis_settings(max_examples=4)
@given(happenings)
def test_a_topic_is_batch(
    running_broker: Broker, tmp_path_factory: pytest.TempPathFactory, happened: list[tuple[str, str, int, bool, str]]
) -> None:
    """Profiles are those of the same events in files, with folds, compactions and nightly jobs in between."""
    folder = tmp_path_factory.mktemp("batch")
    settings = Settings(home=folder / "var", kafka=running_broker.address, kafka_topic=f"batch-{folder.name}")
    stage = TopicScene.set_up(folder, running_broker, settings, order="floor(revenue / 8)")
    scene = stage.scene
    for i, (user, event, late, again, then) in enumerate(happened):
        now = BEGIN + (i + 1) * HOUR
        worth = -i - 0.5 if event == "refund" and i % 2 else i + 0.5
        body = {"plan": f"plan-{i}"} if event == "identify" else {"revenue": worth} if event in WORTH else {}
        sent = message(i, user, event, now, late=late * HOUR, **body)
        stage.write_messages([sent, sent] if again else [sent])
        if then:
            stage.read(now)
        if then == "fold":
            scene.fold()
        if then in ("compact", "nightly"):
            scene.compact()
        if then == "nightly":
            scene.materialize()
    stage.read(BEGIN + (len(happened) + 1) * HOUR)
    scene.fold()
    assert len(stage.messages) == len(happened)
    assert scene.stored() == scene.batch(stage.messages)
    assert reconcile(scene.definition, scene.settings, scene.live).differences == []
    scene.live.close()


def test_repeats_and_corrections_are_judged_as_over_http(stage: TopicScene) -> None:
    """Also where the first came over HTTP."""
    first = replace(visits(0, 1)[0], stated=BEGIN + HOUR)
    assert stage.scene.live.append([first]) == ["accepted"]
    bought = track("u000", "purchase", messageId=first.id, timestamp=to_datetime(first.t).isoformat())
    # in one partition: only there is one message read after another
    again = json.loads(as_sent(first))
    stage.write(json.dumps(bought | {"properties": {"revenue": 5}}).encode(), bought | {"userId": "u001"}, again)
    stage.read()
    assert [(m.event, m.corrects) for m in stage.messages] == [("visit", False), ("purchase", True), ("visit", True)]
    assert [letter.code for letter in stage.scene.live.dead_letters()] == ["id_taken"]


def test_a_message_without_an_id_counts_once_however_often_it_is_read(stage: TopicScene) -> None:
    """Its place and time in the topic are its id; where it names no time, it happened when it was written."""
    stage.write(track("u001"), {"batch": [track("u002"), track("u002", messageId=" "), track("u003", messageId="m")]})
    stage.read(BEGIN + 2 * HOUR)
    before = stage.messages
    assert [(m.user, m.t, m.received) for m in before] == [
        (user, BEGIN + HOUR, pytest.approx(BEGIN + 2 * HOUR, abs=60_000_000))
        for user in ("u001", "u002", "u002", "u003")
    ]
    stage.restart()
    stage.read(BEGIN + 5 * HOUR)
    assert stage.messages == before


def test_a_wrong_clock_is_corrected_by_when_the_message_was_received(stage: TopicScene) -> None:
    """Not by when it is read: the worker may have been away for hours."""
    wrong = {"originalTimestamp": "1999-01-01T10:00:00Z", "sentAt": "1999-01-01T10:30:00Z"}
    received = to_datetime(BEGIN + 3 * HOUR).isoformat()
    stage.write(track("u001", **wrong), track("u002", **wrong, receivedAt=received), at=BEGIN + 4 * HOUR)
    stage.read(BEGIN + 9 * HOUR)
    assert [m.t for m in stage.messages] == [BEGIN + 4 * HOUR - HOUR // 2, BEGIN + 3 * HOUR - HOUR // 2]


def test_what_is_no_event_becomes_a_dead_letter_with_its_place(stage: TopicScene) -> None:
    bad = [b"\x00\x00\x00\x00\x07avro", b"{", b"[1]", {"type": "track"}, track("u001", ""), b"[" * 100_000,
           {"batch": [track("u001"), {"type": "no"}]}, b"\xff\xfe", {"event": "visit", "userId": "u1"}]  # fmt: skip
    stage.write(*bad, partition=2)
    stage.write(None, b"", partition=3)
    stage.read()
    letters = stage.scene.live.dead_letters()
    expected = ["not_json", "not_json", "not_an_object", "no_user", "no_event", "too_deep", "unknown_type", "not_json",
                "unknown_type"]  # fmt: skip
    at_2 = [letter for letter in letters if "partition 2" in letter.reason]
    assert [letter.code for letter in at_2] == expected
    for offset, letter in enumerate(at_2):
        assert letter.reason.startswith(f"topic {stage.topic}, partition 2, offset {offset}: ")
    [empty] = [letter for letter in letters if letter not in at_2]
    assert (empty.code, "partition 3, offset 1" in empty.reason) == ("not_json", True)
    assert [m.user for m in stage.messages] == ["u001"], "the good message of the batch; a tombstone says nothing"


def test_a_dead_letter_of_a_topic_is_replayed_once(stage: TopicScene) -> None:
    scene = stage.scene
    stage.write({"type": "visit", "userId": "u001"})
    stage.read()
    [letter] = scene.live.dead_letters()
    corrected = json.loads(letter.body) | {"type": "track", "event": "visit"}
    assert corrected["messageId"].startswith(f"kafka/{stage.topic}/0/0/")
    tracking = Tracking(LogColumns.load(scene.definition, stage.settings.folder(scene.definition.name)))
    assert replay(scene.live, tracking, None).taken == 0
    stage.write(corrected, corrected)
    stage.read()
    assert len(stage.messages) == 1


def test_messages_of_an_erased_user_that_the_topic_still_has_do_not_come_back(stage: TopicScene) -> None:
    scene = stage.scene
    stage.write(track("u001"), track("u002"), {"type": "no", "userId": "u001"}, {"type": "no", "userId": "u002"})
    stage.read()
    scene.fold()
    erased = erase(scene.definition, stage.settings, scene.memberships, ["u001"])
    assert set(erased.left.values()) == {0}
    assert erased.removed["live events"] == 1
    stage.write(track("u001"), {"type": "no", "userId": "u001"})
    stage.read()
    stage.restart()
    stage.read()
    assert [m.user for m in stage.messages] == ["u002"]
    assert {letter.user for letter in scene.live.dead_letters()} == {"u002"}
    scene.fold()
    assert "u001" not in scene.stored()


def test_two_ids_in_a_message_of_a_topic_are_one_person(
    broker: Broker, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("people")
    settings = Settings(home=folder / "var", kafka=broker.address, kafka_topic=f"people-{folder.name}")
    stage = TopicScene.set_up(folder, broker, settings, identities={})
    stage.write(
        track("new1", anonymousId="new2"), track("new2"), {"type": "alias", "userId": "new1", "previousId": "new3"}
    )
    stage.read()
    # what the first message says of its two ids follows the messages that came along with it
    found = [(m.kind, m.user) for m in stage.messages]
    assert sorted(found) == [("alias", "new1"), ("alias", "new1"), ("track", "new1"), ("track", "new2")]
    assert found[0] == ("track", "new1")
    stage.scene.live.close()


def test_reading_begins_at_the_earliest_or_the_latest_message(stage: TopicScene) -> None:
    stage.write_messages(visits(0, 10))
    stage.read(kafka_start="latest")
    assert stage.messages == []
    stage.write_messages(visits(10, 5))
    stage.read(kafka_start="earliest")
    assert sorted(m.id for m in stage.messages) == sorted(f"m{i}" for i in range(10, 15)), "only the first time"


def test_a_restored_live_log_reads_again_what_it_has_lost(
    stage: TopicScene, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Its offsets came back with it."""
    if stage.settings.live_log.get_secret_value():
        pytest.skip("a copy of a file; PostgreSQL restores both tables alike")
    scene, place = stage.scene, tmp_path_factory.mktemp("backup")
    stage.write_messages(visits(0, 10))
    stage.read()
    scene.keep(place, "log")
    stage.write_messages(visits(10, 10))
    stage.read()
    scene.bring_back(place, "log")
    assert len(stage.messages) == 10
    stage.read(NOW + HOUR)
    assert sorted(m.id for m in stage.messages) == sorted(f"m{i}" for i in range(20))
