"""A replay sends the same messages again, a resync all members, and an audience who entered and left."""

import pytest

from features.time import HOUR
from tests.serving.activation.receivers import Receiver
from tests.serving.activation.scenes import MakeScene, drained, going_to, ids


def test_a_replay_tells_the_same_messages_again(set_scene: MakeScene, receiver: Receiver) -> None:
    scene = set_scene({"hook": going_to(receiver.url)})
    scene.enter("u1")
    scene.clock.at += HOUR
    since = scene.clock.at
    scene.enter("u2", "u3")
    drained(scene)
    reported = ids(receiver)
    assert scene.memberships.replay("hook", since) == 2
    drained(scene)
    assert ids(receiver) == reported + reported[1:]


def test_a_resync_tells_of_everybody_who_is_in(set_scene: MakeScene, receiver: Receiver) -> None:
    scene = set_scene({"hook": going_to(receiver.url, of=["segments.cart", "states.active"])})
    scene.enter("u1", "u2")
    scene.enter("u2", cart=False)
    drained(scene)
    receiver.requests.clear()
    assert scene.memberships.resync("hook") == 6
    drained(scene)
    reported = {(m["user_id"], m["dimension"], m["after"]) for m in receiver.messages}
    assert reported == {("u1", "segments.cart", "in"), *((f"u{i}", "states", "active") for i in range(5))}
    assert {m["cause"] for m in receiver.messages} == {"resync"}
    assert len({m["sync"] for m in receiver.messages}) == 1


def test_audiences_are_entered_and_left_as_segment_says(
    set_scene: MakeScene, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CDP_KEY", "write-key")
    cdp = going_to(receiver.url, kind="audience", secret="CDP_KEY", of=["segments", "states"])
    scene = set_scene({"cdp": cdp})
    scene.enter("u1")
    scene.say({"u1": {"states": "silent"}})
    assert drained(scene, "cdp") == 3
    [request] = receiver.requests
    assert request.path == "/v1/batch"
    assert request.headers["authorization"] == "Basic d3JpdGUta2V5Og=="
    reported = [(e["event"], e["properties"]["audience_key"]) for e in request.json["batch"]]
    assert sorted(reported) == [
        ("Audience Entered", "segments.cart"), ("Audience Entered", "states.silent"),
        ("Audience Exited", "segments.cart"), ("Audience Exited", "states.active"),
    ]  # fmt: skip
    assert len({e["messageId"] for e in request.json["batch"]}) == 4
    assert request.json["batch"][0]["properties"]["segments_cart"] is True
