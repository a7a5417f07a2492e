"""The live path under load: open loop, so that a slow answer does not hold back the next question."""

import asyncio
import random
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import numpy as np
import polars as pl

from benchmarks import due
from benchmarks.answers import NAME, served, server_environment
from benchmarks.stores import redis
from benchmarks.world import ROOT, World, environment
from features.open_log import open_log
from features.system.progress import unseen
from serving.database.log.live_log import LiveLog
from serving.ingest.reconcile import reconcile
from serving.upkeep.materialize import materialize

SCORES_PER_S, EVENTS_PER_S, BATCH = 200, 500, 5
EVENTS = ("app_open", "view_item", "search", "add_to_cart", "purchase")
#: bounds of the latency histogram, in milliseconds
BOUNDS = (2, 3, 4, 5, 7, 10, 15, 20, 30, 50, 100)


async def open_loop(per_s: float, seconds: float, call: Callable[[int], Awaitable[object]]) -> np.ndarray:
    """Call at fixed times whatever becomes of the calls before; milliseconds from when a call was due to its answer."""
    taken: list[float] = []
    waiting: set[asyncio.Task[None]] = set()
    began = time.perf_counter()

    async def one(i: int, due: float) -> None:
        await call(i)
        taken.append((time.perf_counter() - due) * 1e3)

    for i in range(int(per_s * seconds)):
        due = began + i / per_s
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        task = asyncio.create_task(one(i, due))
        waiting.add(task)
        task.add_done_callback(waiting.discard)
    await asyncio.gather(*waiting)
    return np.array(taken)


def messages(run: str, i: int, size: int) -> dict[str, object]:
    """A batch of events of random users, none of whom a probe watches; other runs have other ids."""
    draw = random.Random(i)  # noqa: S311 - a load, no secret
    batch = [
        {"type": "track", "userId": f"u{draw.randrange(10_000):07d}", "messageId": f"{run}-{i}-{j}",
         "event": draw.choice(EVENTS), "properties": {"revenue": 5.0}}
        for j in range(size)
    ]  # fmt: skip
    return {"batch": batch}


async def _post(client: aiohttp.ClientSession, path: str, body: object) -> dict[str, Any]:
    async with client.post(path, json=body) as answer:
        answer.raise_for_status()
        found: dict[str, Any] = await answer.json()
        return found


async def _score(client: aiohttp.ClientSession, i: int) -> None:
    await _post(client, "/score", {"user_ids": [f"u{i * 7 % 20_000:07d}"]})


async def _send(client: aiohttp.ClientSession, run: str, i: int) -> int:
    return int((await _post(client, "/v1/batch", messages(run, i, BATCH)))["accepted"])


async def _steady(url: str, seconds: float) -> np.ndarray:
    async with aiohttp.ClientSession(url) as client:
        await open_loop(SCORES_PER_S, 3, lambda i: _score(client, i))
        return await open_loop(SCORES_PER_S, seconds, lambda i: _score(client, i))


async def _fresh(url: str, seconds: float) -> tuple[np.ndarray, np.ndarray]:
    """Milliseconds from a probe's acknowledgement until its score shows it, while events come at the full rate."""
    shown: list[float] = []
    run = str(time.time_ns())
    async with aiohttp.ClientSession(url) as client:

        async def probe(i: int) -> None:
            user = f"u{10_000 + i:07d}"
            event = {"userId": user, "event": "add_to_cart", "messageId": f"{run}-probe-{i}"}
            await _post(client, "/v1/track", event)
            acknowledged = time.perf_counter()
            for turn in range(1_000):
                records = (await _post(client, "/score", {"user_ids": [user]}))["records"]
                if records and "cart_abandoned_24h" in records[0]["segments"]:
                    shown.append((time.perf_counter() - acknowledged) * 1e3)
                    return
                # a hundred probes asking ten times a second would be a load of their own; a fifth of the wait is seen
                await asyncio.sleep(min(0.005 * 1.2**turn, 1.0))
            raise RuntimeError(f"{event} does not show")

        load = open_loop(EVENTS_PER_S / BATCH, seconds, lambda i: _send(client, run, i))
        _, answered = await asyncio.gather(open_loop(8, seconds, probe), load)
    return np.array(shown), answered


def _settle(client: httpx.Client) -> None:
    """Wait until what an earlier load has left is folded, and the transitions due when the clock was set are made."""
    before: list[str] = []
    while True:
        time.sleep(5)
        metrics = client.get("/metrics").text.splitlines()
        moved = [line for line in metrics if line.startswith("propensity_transitions_total")]
        if "propensity_lag_seconds 0.0" in metrics and moved == before:
            return
        before = moved


def _memory(process: int) -> int:
    """Bytes held by a process and those it started."""
    total = 0
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = dict(line.split(":", 1) for line in (folder / "status").read_text().splitlines())
        except (OSError, ValueError):
            continue
        if int(folder.name) == process or int(fields["PPid"]) == process:
            total += int(fields.get("VmRSS", "0").split()[0]) * 1024
    return total


async def _soak(url: str, seconds: float, process: int) -> tuple[int, list[int]]:
    """Events and scores at half the rates; how many events were accepted, and the memory held every few seconds."""
    accepted, memory = 0, []
    async with aiohttp.ClientSession(url) as client:

        async def send(i: int) -> None:
            nonlocal accepted
            taken = await _send(client, "soak", i)
            accepted += taken

        async def watch() -> None:
            for _ in range(int(seconds / 5)):
                await asyncio.sleep(5)
                memory.append(_memory(process))

        events = open_loop(EVENTS_PER_S / BATCH / 2, seconds, send)
        await asyncio.gather(events, open_loop(25, seconds, lambda i: _score(client, i)), watch())
    return accepted, memory


def cost(
    world: World, *, seconds: float = 20, soak: float = 600
) -> tuple[pl.DataFrame, pl.DataFrame, dict[str, float]]:
    """Measure latency at a steady rate, freshness under load, and a soak."""
    rows, shown, numbers = [], [], {}
    # from the first batch on, users who act are moved between segments, too
    score = [sys.executable, "-m", "propensity", "score"]
    subprocess.run(score, cwd=ROOT, check=True, env=environment(world.settings), stdout=subprocess.DEVNULL)
    with ExitStack() as running:
        address = running.enter_context(redis())
        for hour, store in enumerate(("redis", "sqlite") if address else ("sqlite",), 9):
            # both share a live log, and a clock does not go back
            more = {"PROPENSITY_ONLINE_STORE": store, "PROPENSITY_REDIS": address or "",
                    "PROPENSITY_CLOCK": f"2026-03-01T{hour:02d}:00:00Z"}  # fmt: skip
            mine = world.settings.model_copy(update={"online_store": store, "redis": address or ""})
            materialize(open_log(world.definition, mine, ends=None, steps=unseen), world.definition, mine)
            with served(NAME, server_environment(world, **more)) as (client, process):
                url = str(client.base_url)
                _settle(client)
                steady, while_due = due.beside(
                    world,
                    mine,
                    more["PROPENSITY_CLOCK"],
                    lambda to=url: _steady(to, seconds),  # type: ignore[misc]
                )
                fresh, answered = asyncio.run(_fresh(url, seconds))
                for what, taken in ((f"score, {SCORES_PER_S} requests/s", steady),
                                    (f"the same while {due.USERS:,} users come due", while_due),
                                    (f"visible in scores, {EVENTS_PER_S} events/s", fresh),
                                    (f"batch of {BATCH} acknowledged, {EVENTS_PER_S} events/s", answered)):  # fmt: skip
                    p50, p99, most = (float(np.quantile(taken, q)) for q in (0.5, 0.99, 1.0))
                    rows.append({"store": store, "what": what, "calls": len(taken), "p50_ms": p50, "p99_ms": p99,
                                 "most_ms": most, "p99_over_p50": p99 / p50})  # fmt: skip
                counts = np.histogram(steady, [0, *BOUNDS, np.inf])[0].tolist()
                below = [*(f"< {bound} ms" for bound in BOUNDS), "more"]
                shown += [{"store": store, "latency": name, "calls": n} for name, n in zip(below, counts, strict=True)]
                of_store = "" if store == "sqlite" else f"_{store}"
                numbers[f"live.p99_over_p50_200rps{of_store}"] = rows[-4]["p99_over_p50"]
                numbers[f"live.p99_due_over_usual{of_store}"] = rows[-3]["p99_ms"] / rows[-4]["p99_ms"]
                if store == "sqlite":
                    numbers["live.freshness_p99_ms"] = rows[-2]["p99_ms"]
                    numbers |= _soaked(world, url, process.pid, soak) if soak else {}
    return pl.DataFrame(rows), pl.DataFrame(shown), numbers


def _soaked(world: World, url: str, process: int, seconds: float) -> dict[str, float]:
    live = LiveLog.open(world.definition, world.settings)
    before = len(live.between(0, live.last(), 10**9))
    accepted, memory = asyncio.run(_soak(url, seconds, process))
    time.sleep(3)
    lost = accepted - (len(live.between(0, live.last(), 10**9)) - before)
    wrong = len(reconcile(world.definition, world.settings, live).differences)
    live.close()
    warm = max(1, len(memory) // 10)
    return {"live.soak_lost_events": float(lost + wrong), "live.soak_events": float(accepted),
            "live.soak_memory_growth": float(np.mean(memory[-warm:]) / np.mean(memory[warm:2 * warm]) - 1)}  # fmt: skip
