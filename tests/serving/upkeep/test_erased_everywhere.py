"""The product used in every way, two users erased, and all bytes that are kept looked through."""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import polars as pl
import pytest
import yaml

from features.definition import load_definition
from tests.conftest import World
from tests.permissions import open_to_others
from tests.ports import wait_for
from tests.serving.activation.receivers import Receiver
from tests.serving.activation.scenes import SECRET, going_to
from tests.serving.conftest import copy_of
from tests.serving.ingest.asking import CLOCK, client, command, record, until
from tests.serving.kept import holding
from tests.serving.servers import Server

#: erased by the command line, and through the API
BY_COMMAND, BY_API = "u0000042", "u0000117"
BOTH = (BY_COMMAND, BY_API)

pytestmark = [pytest.mark.long, pytest.mark.xdist_group("erased-everywhere")]


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    opened = Receiver()
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def used(world: World, receiver: Receiver, tmp_path_factory: pytest.TempPathFactory) -> World:
    """A world with a destination."""
    made = copy_of(world, tmp_path_factory.mktemp("erased") / "world")
    file = made.folder / "propensity.yaml"
    content = yaml.safe_load(file.read_text())
    content["destinations"] = {"hook": going_to(receiver.url, of=["segments"])}
    content["transitions"] = {"holdout": 0}
    file.write_text(yaml.safe_dump(content, sort_keys=False))
    other = content | {"windows": [*content["windows"][:-1], 75, content["windows"][-1]]}
    (made.folder / "other.yaml").write_text(yaml.safe_dump(other, sort_keys=False))
    return World(made.folder, load_definition(file), made.settings)


def act(send: httpx.Client, user: str) -> None:
    """Send what SDKs send of a user, well and badly."""
    messages = [
        {"type": "track", "userId": f"  {user} ", "event": "add_to_cart"},
        {"type": "track", "anonymousId": user, "event": "app_open", "properties": {"screen": "home"}},
        {"type": "identify", "userId": user, "traits": {"plan": "gold", "email": f"{user}@example.org"}},
        {"type": "track", "userId": f"\t{user}"},
        {"type": "alias", "previousId": user},
        {"type": "track", "userId": {"id": user}, "anonymousId": user, "event": "app_open"},
        {"type": "track", "userId": 4242, "event": "", "properties": {"invited_by": user}},
    ]
    assert send.post("/v1/batch", json={"batch": messages}).json()["accepted"] == 3


def leave_unfinished(folder: Path) -> None:
    """Put there what jobs leave that are killed."""
    rows = pl.DataFrame({"user": list(BOTH), "x": [1, 2]})
    for name in ("live/events-9.parquet.new", "snapshots.new/date=2026-01-01/part.parquet", "tmpkilled/rows/p.parquet"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        rows.write_parquet(folder / name)
    shutil.copytree(folder / "scores", folder / "scores.old")


def test_two_users_are_erased_everywhere(used: World, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOK_SECRET", SECRET)
    folder = used.settings.folder(used.definition.name)
    command(used, "score", "--reasons", "2")
    keys = {role: command(used, "keys", "create", role, "--role", role).strip() for role in ("write", "read", "admin")}
    server = Server(used, used.folder / "serve.log", PROPENSITY_CLOCK=CLOCK)
    try:
        wait_for(server.port, server.process, 240)
        server.ready()
        with (
            httpx.Client(base_url=server.client.base_url, auth=(keys["write"], ""), timeout=30) as send,
            client(server, keys["read"]) as ask, client(server, keys["admin"]) as admin,
        ):  # fmt: skip
            for user in BOTH:
                act(send, user)
            until(lambda: all("cart_abandoned_24h" in record(ask, user)["segments"] for user in BOTH), 60)
            until(lambda: {m["user_id"] for r in receiver.requests for m in r.transitions} >= set(BOTH), 60)
            ask.get(f"/users/{BY_API}")
            command(used, "compact")
            command(used, "score")
            command(used, "materialize", "-d", str(used.folder / "other.yaml"))
            for form in ("csv", "jsonl", "parquet"):
                command(used, "audience", "segments.cart_abandoned_24h", "--format", form, "--to",
                        str(folder / "audiences" / f"cart.{form}"))  # fmt: skip
            for user in BOTH:
                act_again = {"userId": user, "event": "app_open", "messageId": f"again-{user}"}
                assert send.post("/v1/track", json=act_again).json()["accepted"] == 1
                # the commands' clock is months ahead of the server's, so that they found the first letters too old
                assert send.post("/v1/track", json={"userId": f" {user} "}).json()["accepted"] == 0
            leave_unfinished(folder)
            assert "events" in {name.split("/")[1] for name in holding(used.settings.home, BY_API) if "/" in name}
            output = command(used, "erase", BY_COMMAND)
            report = admin.delete(f"/users/{BY_API}").json()
            assert set(report["left"].values()) == {0}, report["left"]
            assert list(report["left"]) == list(report["removed"])
            for place in ("live events", "dead letters", "event store", "compacted events", "compacted traits",
                          "kept profiles", "kept traits", "snapshots", "scores", "population", "audiences",
                          "online store", "memberships", "transitions"):  # fmt: skip
                assert report["removed"][place] > 0, place
                assert place in output
            until(lambda: {(m["user_id"], m["cause"]) for r in receiver.requests for m in r.transitions}
                  >= {(user, "erased") for user in BOTH}, 60)  # fmt: skip
            for words in ("materialize", "compact", "score", f"materialize -d {used.folder / 'other.yaml'}",
                          f"report --to {used.settings.home / 'segments.html'}"):  # fmt: skip
                command(used, *words.split())
            for user in BOTH:
                sent = {"batch": [{"type": "track", "userId": user, "event": "app_open"},
                                  {"type": "identify", "userId": f" {user}", "traits": {"plan": "x"}},
                                  {"type": "track", "userId": user}]}  # fmt: skip
                answer = send.post("/v1/batch", json=sent).json()
                assert [one["code"] for one in answer["refused"]] == ["erased_user", "erased_user", "no_event"]
    finally:
        server.stop()
    assert holding(used.settings.home, *BOTH) == []
    for user in BOTH:
        assert user not in (used.folder / "serve.log").read_text()
    made_since = [line for line in open_to_others(folder) if "server-" in line or "live" in line]
    assert made_since == []


def test_training_does_not_bring_anybody_back(used: World) -> None:
    """Goes on from the test before: the same home, trained again."""
    command(used, "erase", *BOTH)
    done = used.run(sys.executable, "-m", "propensity", "train", "--outcome", "churn", "--force", "to be tested")
    assert done.returncode == 0, done.stdout + done.stderr
    assert holding(used.settings.home, *BOTH) == []
