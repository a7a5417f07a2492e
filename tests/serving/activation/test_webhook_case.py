"""A case of public reports: a receiver that answers 500 to the first and the third request (cases/23)."""

import shutil
import sys
from collections import defaultdict
from datetime import datetime
from pathlib import Path

import pytest
from standardwebhooks import Webhook

from features.definition import load_definition
from features.settings import Settings
from features.time import DAY, to_instant
from serving.activation.delivery import Sender
from serving.activation.memberships import Memberships
from serving.database.log.live_log import LiveLog
from tests.conftest import ROOT, World
from tests.serving.activation.receivers import Answer, Receiver
from tests.serving.activation.scenes import SECRET, Hands

#: states at four instants; users begin where the first finds them
INSTANTS = ("2025-11-01", "2025-12-01", "2025-12-20", "2026-02-01")


def test_each_transition_arrives_once_in_order_and_signed_although_requests_fail(
    tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = shutil.copytree(ROOT / "tests/cases/23-webhook-fails-then-order", tmp_path / "case")
    written = (case / "propensity.yaml").read_text()
    (case / "propensity.yaml").write_text(written.replace("RECEIVER", receiver.url))
    monkeypatch.setenv("CRM_SECRET", SECRET)
    world = World(case, load_definition(case / "propensity.yaml"), Settings(home=case / "var"))
    for day in INSTANTS:
        done = world.run(sys.executable, "-m", "propensity", "score", "--as-of", day)
        assert done.returncode == 0, done.stderr
    receiver.answer = lambda n, _: Answer(500 if n in (0, 2) else 200)
    live, clock = (
        LiveLog.open(world.definition, world.settings),
        Hands(to_instant(datetime.fromisoformat("2026-02-01T00:00:00Z"))),
    )
    memberships = Memberships(world.definition, live, clock)
    sender = Sender(world.definition, memberships.outbox, clock)
    while memberships.outbox.status()["waiting"].sum():
        sender.drain("crm")
        clock.at += DAY
    sender.close()
    recorded = memberships.history(dimension="states", limit=1_000)
    live.close()

    taken = [request for request in receiver.requests if request.status == 200]
    arrived = [message["id"] for request in taken for message in request.transitions]
    assert len(arrived) == len(set(arrived)) == len(recorded) > 60
    assert [request.status for request in receiver.requests[:4]] == [500, 200, 500, 200]
    for failed, again in ((0, 1), (2, 3)):
        first, second = receiver.requests[failed], receiver.requests[again]
        assert (first.headers["webhook-id"], first.body) == (second.headers["webhook-id"], second.body)
    for request in receiver.requests:
        Webhook(SECRET).verify(request.body, request.headers)
    of_user = defaultdict(list)
    for request in taken:
        for message in request.transitions:
            of_user[message["user_id"]].append(message["at"])
    assert all(times == sorted(times) for times in of_user.values())
