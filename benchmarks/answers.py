"""What an answer costs over HTTP, beside an API of the same server that does nothing, and beside the usual way."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from statistics import median

import features.system.telemetry  # noqa: F401

import httpx
import mlflow
import numpy as np
import polars as pl

from benchmarks.stores import named_features, redis
from benchmarks.world import ROOT, World, environment
from features.definition.columns import feature_set
from features.feature_store import OnlineProfiles
from features.open_log import open_log
from features.settings import Settings
from features.system.progress import unseen
from features.time import to_datetime, to_instant
from serving.model.registry.promoted import CHAMPION, registered_name
from serving.scoring.feature_rows import online_rows
from serving.upkeep.materialize import materialize

#: the service's clock begins here: the demo's log ends nine hours earlier
CLOCK = "2026-03-01T09:00:00Z"
NAME = "serving.api.service:PropensityService"


def server_environment(world: World, **more: str) -> dict[str, str]:
    """The environment of a served world."""
    return (
        environment(world.settings)
        | {"PROPENSITY_AUTH": "off", "PROPENSITY_CLOCK": CLOCK, "PROPENSITY_RATE": "0"}
        | more
    )


@contextmanager
def served(target: str, extra: dict[str, str]) -> Iterator[tuple[httpx.Client, subprocess.Popen[bytes]]]:
    """Serve a BentoML service on a free port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "bentoml", "serve", target, "--host", "127.0.0.1", "--port", str(port)]
    process = subprocess.Popen(
        command, cwd=ROOT, env=os.environ | extra, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            for _ in range(600):
                try:
                    if client.get("/readyz").status_code == 200:
                        break
                except httpx.TransportError:
                    pass
                time.sleep(0.1)
            yield client, process
    finally:
        process.terminate()
        process.wait(20)


def latencies(client: httpx.Client, users: int, calls: int, **body: object) -> np.ndarray:
    """Milliseconds of calls one after the other, the first tenth left out."""
    taken = []
    for i in range(calls + calls // 10):
        ids = [f"u{(i * 7 + j) % 20_000:07d}" for j in range(users)]
        began = time.perf_counter()
        answer = client.post("/score", json={"user_ids": ids, **body})
        taken.append(time.perf_counter() - began)
        answer.raise_for_status()
    return np.array(taken[calls // 10 :]) * 1e3


#: users a call, and calls of a round without reasons and with three
CALLS = ((1, 200, 100), (10, 60, 40), (100, 20, 10), (1_000, 6, 6))
REASONS = 3
ROUNDS = 7


def cost(world: World) -> tuple[pl.DataFrame, dict[str, float]]:
    """Time calls of 1 to 1,000 users, with and without reasons, from both stores; the no-op between all of them."""
    rows, numbers = [], {}
    with ExitStack() as running:
        noop, _ = running.enter_context(served("benchmarks.noop:Noop", {}))
        address = running.enter_context(redis())
        for store in ("sqlite", *(["redis"] if address else [])):
            more = {"PROPENSITY_ONLINE_STORE": store, "PROPENSITY_REDIS": address or ""}
            mine = world.settings.model_copy(update={"online_store": store, "redis": address or ""})
            materialize(open_log(world.definition, mine, ends=None, steps=unseen), world.definition, mine)
            with served(NAME, server_environment(world, **more)) as (client, _):
                rows += [{"store": store, **row} for calls in CALLS for row in by_turns(noop, client, *calls)]
    table = pl.DataFrame(rows)
    one = table.row(0, named=True)
    numbers["live.score_p50_over_noop"] = one["p50_over_noop"]
    thousand = table.filter((pl.col("users") == 1_000) & (pl.col("reasons") == 0))["p50_ms"][0]
    why = table.filter((pl.col("users") == 1_000) & (pl.col("reasons") == REASONS))
    numbers["live.reasons_1000_ratio"] = why["p50_over_no_reasons"][0]
    usual = usual_way(world)
    numbers["live.bulk_1000_vs_feast_pyfunc"] = usual / thousand
    rows.append({"store": "sqlite, named features in Feast and three pyfunc predicts, without HTTP", "users": 1_000,
                 "reasons": 0, "p50_ms": usual})  # fmt: skip
    return pl.DataFrame(rows), numbers


def by_turns(
    noop: httpx.Client, client: httpx.Client, users: int, plain: int, explained: int
) -> Iterator[dict[str, object]]:
    """Time calls without reasons and with some, and the no-op, in rounds: what else the machine does meets all."""
    baseline: list[np.ndarray] = []
    taken: dict[int, list[np.ndarray]] = {0: [], REASONS: []}
    for _ in range(ROUNDS):
        baseline.append(latencies(noop, 1, 60))
        for reasons, calls in ((0, plain), (REASONS, explained)):
            taken[reasons].append(latencies(client, users, calls, reasons=reasons))
    for reasons, ours in taken.items():
        whole = np.concatenate(ours)
        yield {"users": users, "reasons": reasons, "p50_ms": float(np.median(whole)),
               "p99_ms": float(np.quantile(whole, 0.99)), "p50_over_noop": _times(ours, baseline),
               "p50_over_no_reasons": _times(ours, taken[0])}  # fmt: skip


def _times(ours: list[np.ndarray], theirs: list[np.ndarray]) -> float:
    """How many times as long ours took as theirs: the median over rounds of the medians' ratio."""
    return median(float(np.median(o) / np.median(t)) for o, t in zip(ours, theirs, strict=True))


def usual_way(world: World) -> float:
    """Milliseconds for 1,000 users the usual way: each feature by its name from Feast, a pyfunc an outcome."""
    names, users = list(feature_set(world.definition).numeric), [f"u{i:07d}" for i in range(1_000)]
    online = OnlineProfiles(world.definition, Settings(home=world.settings.home))
    found = online_rows(online, world.definition, users, to_instant(to_datetime(0).fromisoformat(CLOCK)))
    frame = found.rows.frame(names).drop("cutoff").to_pandas()
    frame["event_timestamp"] = to_datetime(int(found.through[0]))
    store, _ = named_features(world.folder, names, frame)
    traits = found.rows.frame(found.rows.traits).drop("user", "cutoff").to_pandas()
    mlflow.set_tracking_uri(world.settings.mlflow_uri)
    mlflow.set_registry_uri(world.settings.mlflow_uri)
    champions = [
        f"models:/{registered_name(world.definition, name)}@{CHAMPION}" for name in world.definition.likelihoods
    ]
    models = [mlflow.pyfunc.load_model(uri) for uri in champions]
    refs, entities, taken = [f"named:{name}" for name in names], [{"user": user} for user in frame["user"]], []
    for _ in range(7):
        began = time.perf_counter()
        features = store.get_online_features(refs, entities).to_df().drop(columns="user").astype("float64")
        for model in models:
            model.predict(features.join(traits))
        taken.append(time.perf_counter() - began)
    return median(taken[1:]) * 1e3
