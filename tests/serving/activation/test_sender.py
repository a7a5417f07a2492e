"""The hand-off to real HTTP receivers that fail, hang, answer 429 and come back; nothing is lost, ever."""

import json
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from standardwebhooks import Webhook

from features.time import DAY, HOUR, SECOND
from tests.conftest import ROOT
from tests.serving.activation.receivers import Answer, Receiver
from tests.serving.activation.scenes import SECRET, MakeScene, drained, going_to, ids


def test_a_webhook_is_signed_and_says_who_moved_and_why(set_scene: MakeScene, receiver: Receiver, address: str) -> None:
    scene = set_scene({"hook": going_to(receiver.url + "/hooks/in/?a=b")}, address)
    scene.enter("u1", "u2")
    assert drained(scene) == 2
    [request] = receiver.requests
    assert request.path == "/hooks/in/?a=b"
    verified = Webhook(SECRET).verify(request.body, request.headers)
    assert verified["type"] == "propensity.transitions"
    first, second = verified["data"]["transitions"]
    assert first["user_id"] == "u1"
    assert (first["dimension"], first["before"], first["after"], first["cause"]) == (
        "segments.cart",
        None,
        "in",
        "time",
    )
    assert first["scores"] == {"before": {"churn": 0.1}, "after": {"churn": 0.2}}
    assert first["id"] != second["id"]
    status = scene.memberships.outbox.status().row(0, named=True)
    assert (status["waiting"], status["delivered"], status["failures"]) == (0, 2, 0)


def test_messages_go_in_batches_and_in_order(set_scene: MakeScene, receiver: Receiver) -> None:
    scene = set_scene({"hook": going_to(receiver.url, batch=7)})
    for round_ in range(10):
        scene.enter(*[f"v{i}" for i in range(3)], cart=round_ % 2 == 0)
        scene.clock.at += HOUR
    assert drained(scene) == 30
    assert [len(r.transitions) for r in receiver.requests] == [7, 7, 7, 7, 2]
    for user in ("v0", "v1", "v2"):
        assert [m["after"] for m in receiver.messages if m["user_id"] == user] == ["in", None] * 5


def test_what_fails_is_sent_again_the_same_and_later_and_later(set_scene: MakeScene, receiver: Receiver) -> None:
    receiver.answer = lambda n, _: Answer(503 if n < 6 else 200)
    scene = set_scene({"hook": going_to(receiver.url)})
    scene.enter("u1", "u2")
    sender, waits, last = scene.sender(), list[int](), scene.clock.at
    while not receiver.taken:
        sender.step("hook")
        if len(receiver.requests) > len(waits):
            waits.append(scene.clock.at - last)
            last = scene.clock.at
            scene.enter("u3")  # what comes meanwhile goes in a request of its own
        scene.clock.at += SECOND // 10
    assert len({(r.headers["webhook-id"], r.body) for r in receiver.requests}) == 1
    assert waits[6] > 4 * waits[1] > 0, waits
    assert sender.drain("hook") == 1
    assert [m["user_id"] for m in receiver.messages] == ["u1", "u2", "u3"]
    sender.close()


def test_a_receiver_says_when_to_come_back(set_scene: MakeScene, receiver: Receiver) -> None:
    receiver.answer = lambda n, _: Answer(429, {"Retry-After": "90"}) if n == 0 else Answer()
    scene = set_scene({"hook": going_to(receiver.url)})
    scene.enter("u1")
    assert drained(scene) == 0
    scene.clock.at += 89 * SECOND
    assert drained(scene) == 0
    assert len(receiver.requests) == 1
    scene.clock.at += 2 * SECOND
    assert drained(scene) == 1


def test_a_receiver_that_hangs_is_given_up_and_tried_again(set_scene: MakeScene, receiver: Receiver) -> None:
    receiver.answer = lambda n, _: Answer(hang=5.0 if n == 0 else 0.0)
    scene = set_scene({"hook": going_to(receiver.url, timeout=0.3)})
    scene.enter("u1")
    began = time.monotonic()
    assert drained(scene) == 0
    assert time.monotonic() - began < 4
    assert "Timeout" in scene.memberships.outbox.status()["error"][0]
    scene.clock.at += 3 * SECOND
    assert drained(scene) == 1


def test_a_message_nobody_takes_becomes_a_dead_letter_alone(set_scene: MakeScene, receiver: Receiver) -> None:
    receiver.answer = lambda n, body: Answer(400 if b'"u2"' in body else 200)
    scene = set_scene({"hook": going_to(receiver.url)})
    scene.enter("u1", "u2", "u3")
    assert drained(scene) == 2
    assert [m["user_id"] for m in receiver.messages] == ["u1", "u3"]
    [dead] = scene.memberships.outbox.dead().iter_rows(named=True)
    assert (json.loads(dead["body"])["user_id"], dead["error"]) == ("u2", "HTTP 400")
    receiver.answer = lambda n, body: Answer()
    assert scene.memberships.outbox.revive("hook") == 1
    assert drained(scene) == 1
    assert scene.memberships.outbox.dead().is_empty()


def test_what_is_tried_for_too_long_becomes_a_dead_letter(set_scene: MakeScene, receiver: Receiver) -> None:
    receiver.answer = lambda n, _: Answer(500)
    scene = set_scene({"hook": going_to(receiver.url, give_up="1d")})
    scene.enter("u1")
    drained(scene)
    assert scene.memberships.outbox.dead().is_empty()
    scene.clock.at += 2 * DAY
    drained(scene)
    assert len(scene.memberships.outbox.dead()) == 1


def test_who_wants_nothing_more_is_paused_and_resumed_by_hand(set_scene: MakeScene, receiver: Receiver) -> None:
    receiver.answer = lambda n, _: Answer(410) if n == 0 else Answer()
    scene = set_scene({"hook": going_to(receiver.url)})
    scene.enter("u1")
    drained(scene)
    scene.clock.at += DAY
    scene.enter("u2")
    assert drained(scene) == 0
    assert scene.memberships.outbox.status()["paused"][0]
    scene.memberships.outbox.pause("hook", paused=False)
    assert drained(scene) == 2


def test_the_team_gets_a_notice_through_apprise(
    set_scene: MakeScene, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEAM_URL", receiver.url.replace("http://", "json://"))
    team = {"kind": "notice", "url": "${TEAM_URL}", "of": ["segments.cart"], "allow_private": True}
    scene = set_scene({"team": team})
    scene.enter("u1", "u2", "u3")
    assert drained(scene, "team") == 3
    assert receiver.requests[0].json["message"] == "3 users entered cart (time 3)"


def test_a_notice_to_a_host_of_its_own_is_refused(
    set_scene: MakeScene, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = receiver.url.replace("http://", "json://")
    monkeypatch.setenv("TEAM_URL", "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ")
    scene = set_scene({"team": {"kind": "notice", "url": "${TEAM_URL}", "of": ["segments.cart"]}})
    scene.enter("u1")
    sender = scene.sender()
    monkeypatch.setenv("TEAM_URL", url)
    assert sender.drain("team") == 0
    sender.close()
    assert "the host could have an address of a private network" in scene.memberships.outbox.status()["error"][0]
    assert receiver.requests == []


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://127.0.0.1:1/", "127.0.0.1, an address of a private network"),
        ("http://localhost:1/", "an address of a private network"),
        ("http://169.254.169.254/latest/meta-data", "169.254.169.254, an address of a private network"),
        ("http://10.1.2.3/", "10.1.2.3, an address of a private network"),
        ("http://[::1]:80/", "::1, an address of a private network"),
        ("http://[::ffff:10.0.0.1]/", "an address of a private network"),
        ("${NOT_SET}/x", "names NOT_SET, which is not set"),
    ],
)
def test_private_addresses_are_refused_unless_allowed(set_scene: MakeScene, url: str, why: str) -> None:
    scene = set_scene({"hook": going_to(url, allow_private=False)})
    scene.enter("u1")
    assert drained(scene) == 0
    assert why in scene.memberships.outbox.status()["error"][0]
    assert scene.memberships.outbox.status()["waiting"][0] == 1, "nothing is lost"


def test_a_redirect_is_not_followed(set_scene: MakeScene, receiver: Receiver) -> None:
    receiver.answer = lambda n, _: Answer(302, {"Location": "http://169.254.169.254/"})
    scene = set_scene({"hook": going_to(receiver.url)})
    scene.enter("u1")
    assert drained(scene) == 0
    assert "HTTP 302" in scene.memberships.outbox.status()["error"][0]


def test_two_senders_do_not_send_the_same(set_scene: MakeScene, receiver: Receiver, address: str) -> None:
    receiver.answer = lambda n, _: Answer(hang=0.05)
    scene = set_scene({"hook": going_to(receiver.url, batch=5)}, address)
    scene.enter(*[f"v{i}" for i in range(60)])
    senders = [scene.sender() for _ in range(3)]
    for sender in senders:
        sender.start()
    end = time.monotonic() + 30
    while scene.memberships.outbox.status()["waiting"][0] and time.monotonic() < end:
        time.sleep(0.05)
    for sender in senders:
        sender.close()
    assert len(ids(receiver)) == len(set(ids(receiver))) == 60


@pytest.mark.long
def test_killing_the_sender_at_any_moment_loses_nothing(
    set_scene: MakeScene, receiver: Receiver, address: str, tmp_path: Path
) -> None:
    receiver.answer = lambda n, _: Answer(hang=0.02 * (n % 3))
    hook = going_to(receiver.url, batch=3)
    scene = set_scene({"hook": hook}, address)
    scene.clock.at = int(datetime.now(UTC).timestamp() * 1e6)
    definition = scene.definition.model_dump(mode="json", exclude_defaults=True)
    (tmp_path / "propensity.yaml").write_text(yaml.safe_dump(definition, sort_keys=False))
    made = scene.enter(*[f"v{i:03d}" for i in range(450)])
    url = scene.memberships.live.engine.url.render_as_string(hide_password=False)
    environment = os.environ | {
        "PROPENSITY_DEFINITION": str(tmp_path / "propensity.yaml"),
        "PROPENSITY_HOME": str(tmp_path),
        "PROPENSITY_LIVE_LOG": url,
    }
    # a sender that is killed keeps the destination for the length of its lease
    driver = (
        "import sys; import serving.activation.outbox as outbox; outbox.LEASE = 200_000; "
        "from propensity.__main__ import main; sys.argv = ['propensity', 'handoff', 'deliver']; main()"
    )
    output = (tmp_path / "deliver.log").open("wb")
    for round_ in range(9):
        before = len(receiver.requests)
        process = subprocess.Popen([sys.executable, "-c", driver], env=environment, cwd=ROOT, stdout=output,
                                   stderr=output)  # fmt: skip
        end = time.monotonic() + 60
        # after so many requests more, at some moment within the next one
        while process.poll() is None and len(receiver.requests) < before + 1 + round_ % 9 and time.monotonic() < end:
            time.sleep(0.001)
        time.sleep(0.003 * (round_ % 7))
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert scene.memberships.outbox.status()["waiting"][0], "none of them came to its end"
    subprocess.run([sys.executable, "-c", driver], env=environment, cwd=ROOT, stdout=output, stderr=output, check=True)
    output.close()
    wanted = {f"{scene.definition.name}.{t.id}" for t in made if t.dimension == "segments.cart"}
    assert set(ids(receiver)) == wanted
    sent = {}
    for request in receiver.taken:  # what came twice came as the same request
        known = sent.setdefault(request.headers["webhook-id"], request.body)
        assert known == request.body
