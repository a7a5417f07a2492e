"""What an answer costs over HTTP, beside an API of the same server that does nothing."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import numpy as np
import polars as pl

from benchmarks.world import ROOT, World, environment

AS_OF = "2026-03-01T10:15:00Z"


@contextmanager
def served(target: str, extra: dict[str, str]) -> Iterator[httpx.Client]:
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
            yield client
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


def cost(world: World) -> pl.DataFrame:
    """Time calls of 1, 10, 100 and 1,000 users, one user with reasons, and the no-op."""
    rows = []

    def note(what: str, taken: np.ndarray, floor: float) -> float:
        p50, p99 = (float(np.quantile(taken, q)) for q in (0.5, 0.99))
        rows.append({"call": what, "p50_ms": p50, "p99_ms": p99, "p50_over_noop": p50 / (floor or p50)})
        return p50

    with served("benchmarks.noop:Noop", {}) as client:
        floor = note("no-op", latencies(client, 1, 500), 0.0)
    with served(
        "serving.service:PropensityService", environment(world.settings) | {"PROPENSITY_AUTH": "off"}
    ) as client:
        note("1 user", latencies(client, 1, 500, as_of=AS_OF), floor)
        note("1 user, 3 reasons", latencies(client, 1, 300, as_of=AS_OF, reasons=3), floor)
        for users, calls in ((10, 200), (100, 100), (1_000, 20)):
            note(f"{users:,} users", latencies(client, users, calls, as_of=AS_OF), floor)
    return pl.DataFrame(rows)
