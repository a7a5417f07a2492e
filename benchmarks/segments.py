"""What segments cost beside reading feature rows, and what the hand-off delivers."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from time import perf_counter, sleep

import numpy as np
import polars as pl
import yaml

from benchmarks.world import ROOT, World
from features.definition import Definition
from features.definition.columns import feature_set
from features.expressions.values import Texts
from features.feature_store import OnlineProfiles
from features.profile.fold import profile_rows
from features.settings import Settings
from features.time import Clock, to_instant
from segments.evaluator import Evaluator
from segments.transitions.membership import IN, Hysteresis, Observation
from segments.transitions.transition import Scoring, TransitionFinder
from serving.activation.delivery import Sender
from serving.activation.memberships import Memberships
from serving.database.log.live_log import LiveLog

USERS, SEGMENTS, CHUNK = 1_000_000, 100, 50_000

MESSAGES = 20_000
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # noqa: S105 - of the specification's own example


def hundred() -> dict[str, str]:
    """A hundred predicates: those of the demo that need no model, each with several limits."""
    shapes = [
        "days_since_cart_add < {a} AND (purchase_count_total = 0 OR days_since_purchase > days_since_cart_add)",
        "days_since_cart_add >= {a} AND days_since_cart_add < {b} AND purchase_count_30d = 0",
        "purchase_count_total >= {a} AND purchase_count_90d >= 1",
        "purchase_count_total >= 1 AND purchase_value_total >= 10 * {a} * purchase_count_total",
        "purchase_count_total = 0 AND visit_active_days_total >= {a} AND days_since_visit < 14",
        "visit_active_days_total >= 5 AND visit_overdue >= {a} AND days_since_visit >= 2",
        "sign_up_count_total > 0 AND visit_active_days_total <= {a} AND days_since_visit >= 3",
        "visit_count_30d >= 5 * {a} AND cart_add_count_30d = 0",
        "visit_trend_7d < 0.1 * {a} AND visit_active_days_total >= 5",
        "plan = 'gold' AND visit_count_7d < {a}",
    ]
    return {f"s{i:02d}_{a}": shape.format(a=a, b=2 * a + 1) for i, shape in enumerate(shapes) for a in range(1, 11)}


def over_reading(world: World) -> tuple[pl.DataFrame, dict[str, float]]:
    """A hundred segments of a million users, beside reading their feature rows from their profiles."""
    definition, store = world.definition, OnlineProfiles(world.definition, world.settings)
    users = [f"u{i:07d}" for i in range(20_000)]
    stored = store.read(users)
    words = store.unpack(stored.values())
    at = to_instant(definition.events.ends) if definition.events.ends else 0
    traits = {
        name: Texts.of([stored[user].traits.get(name) for user in stored]) for name in feature_set(definition).traits
    }
    some = np.resize(np.arange(len(words)), CHUNK)
    names = [f"v{i}" for i in range(CHUNK)]
    part, cutoffs = words[some], np.full(CHUNK, at)
    known = {name: texts.take(some) for name, texts in traits.items()}
    evaluator = Evaluator(hundred())
    read, called, inside = [], [], 0
    for _ in range(USERS // CHUNK):
        began = perf_counter()
        rows = profile_rows(names, part, cutoffs, definition, known)
        middle = perf_counter()
        inside = int(evaluator.every(rows.values(evaluator.columns), len(rows)).counts.sum())
        read.append(middle - began)
        called.append(perf_counter() - middle)
    ratio = sum(called) / sum(read)
    table = pl.DataFrame(
        {"users": [USERS], "segments": [SEGMENTS], "read_s": [sum(read)], "segments_s": [sum(called)],
         "segments_over_read": [ratio], "memberships_a_user": [inside / CHUNK]}
    )  # fmt: skip
    return table, {
        "segments.cost_100_over_read": ratio,
    }


@contextmanager
def receiving() -> Iterator[tuple[str, list[str]]]:
    """A receiver that keeps the ids of the messages it has taken."""
    taken: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            taken.extend(message["id"] for message in body["data"]["transitions"])
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            """A sender that is killed hangs up."""

    server = Server(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/", taken
    finally:
        server.shutdown()
        server.server_close()


def handed_off(world: World) -> tuple[pl.DataFrame, dict[str, float]]:
    """Messages a second through a signed webhook, and what is lost when the sender is killed again and again."""
    os.environ["HOOK_SECRET"] = SECRET
    with receiving() as (url, taken), TemporaryDirectory() as name:
        memberships, definition = _moved(world, Path(name), url)
        sender = Sender(definition, memberships.outbox, Clock())
        began = perf_counter()
        sent = sender.drain("hook")
        rate = sent / (perf_counter() - began)
        sender.close()
        memberships.live.close()
        lost = MESSAGES - len(set(taken))
    with receiving() as (url, taken), TemporaryDirectory() as name:
        memberships, definition = _moved(world, Path(name), url)
        kills = 0
        while memberships.outbox.status()["waiting"][0] and kills < 60:
            process = subprocess.Popen([sys.executable, "-m", "benchmarks.segments", str(name)], cwd=ROOT)
            before = len(taken)
            while process.poll() is None and len(taken) < before + 900:
                sleep(0.002)
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
                kills += 1
            process.wait()
        memberships.live.close()
        lost_killed, twice = MESSAGES - len(set(taken)), len(taken) - len(set(taken))
    table = pl.DataFrame(
        {"messages": [MESSAGES], "messages_per_s": [rate], "lost": [lost], "kills": [kills],
         "lost_with_kills": [lost_killed], "delivered_twice_with_kills": [twice]}
    )  # fmt: skip
    return table, {"handoff.messages_per_s": rate, "handoff.lost": float(lost + lost_killed)}


def _moved(world: World, home: Path, url: str) -> tuple[Memberships, Definition]:
    """Memberships with so many messages waiting for a webhook."""
    hook = {"kind": "webhook", "url": url, "secret": "HOOK_SECRET", "of": ["segments.repeat_buyer"],
            "allow_private": True, "rate": 1_000, "batch": 100}  # fmt: skip
    content = world.definition.model_dump(mode="json", exclude_defaults=True)
    content |= {"destinations": {"hook": hook}, "transitions": {"holdout": 0}}
    (home / "propensity.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    definition = Definition.model_validate(content)
    settings = Settings(home=home)
    clock = Clock()
    memberships = Memberships(definition, LiveLog.open(definition, settings), clock)
    now, version = clock.now(), definition.version
    memberships.complete(Scoring(now - 1, {}, version))
    finder = TransitionFinder(Hysteresis(definition, {}), {}, version, {})
    observations = [
        Observation(f"u{i:07d}", now, {"segments.repeat_buyer": IN}, frozenset(), {}, now) for i in range(MESSAGES)
    ]
    for lo in range(0, MESSAGES, 500):
        memberships.record(observations[lo : lo + 500], finder, memberships.last(), lambda _: {})
    return memberships, definition


def deliver(home: str) -> None:
    """Deliver what waits, as a process that is killed while it does."""
    import serving.activation.outbox as outbox

    outbox.LEASE = 300_000  # so that the next one need not wait a minute
    definition = Definition.model_validate(yaml.safe_load((Path(home) / "propensity.yaml").read_text()))
    memberships = Memberships(definition, LiveLog.open(definition, Settings(home=Path(home))), Clock())
    sender = Sender(definition, memberships.outbox, Clock())
    for _ in range(50):
        if not sender.drain("hook"):
            sleep(0.05)


if __name__ == "__main__":
    deliver(sys.argv[1])
