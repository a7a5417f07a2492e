"""How many events a second are acknowledged and folded: offered at rising rates, into PostgreSQL and Redis.

The service takes events in and a worker of its own folds them, as one sets it up at scale; senders post batches, or
single events, at fixed times whatever becomes of those before.
"""

import asyncio
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import aiohttp
import numpy as np
import polars as pl

from benchmarks.answers import NAME, served, server_environment
from benchmarks.live import EVENTS, open_loop
from benchmarks.postgres import postgres
from benchmarks.stores import redis
from benchmarks.world import ROOT, World
from features.feature_store import OnlineProfiles
from features.open_log import open_log
from features.settings import Settings
from features.system.progress import unseen
from serving.database.identity import mark_of
from serving.database.log.live_log import LiveLog
from serving.database.tables import SHARDS
from serving.upkeep.materialize import materialize

#: events a request, and events a second that are offered
OFFERED = ((500, 1_000), (500, 2_500), (500, 5_000), (500, 7_500), (100, 2_500), (100, 5_000), (1, 250), (1, 500))
SECONDS = 10.0
#: this share of what is offered must be acknowledged, and folded, for a rate to count as reached
REACHED = 0.95
#: seconds between two looks at how far the worker has come, and that it may take in the end
LOOK, PATIENCE = 0.02, 60.0


@dataclass
class Load:
    """What became of events that were offered for some seconds.

    Attributes:
        began: when the first was sent.
        ended: when the last was answered.
        accepted: how many events were acknowledged.
        away: how many requests were turned away.
        waiting: positions of the log that were acknowledged, each with when.
        delays: seconds from an acknowledgement until its events were folded.
    """

    began: float = 0.0
    ended: float = 0.0
    accepted: int = 0
    away: int = 0
    waiting: list[tuple[int, float]] = field(default_factory=list)
    delays: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Running:
    """The programs that take events in, and what their stores hold.

    Attributes:
        url: of the service.
        live: the live log.
        online: the stored profiles.
        programs: processes by what they are called in the table.
    """

    url: str
    live: LiveLog
    online: OnlineProfiles
    programs: dict[str, int]

    def folded_through(self) -> int:
        """The position through which all shards are folded."""
        return min(self.online.marked([mark_of(shard) for shard in range(SHARDS)]))

    def cpu(self) -> dict[str, float]:
        """Seconds of processor time of each program, with those that it started."""
        return {name: _cpu(pid) for name, pid in self.programs.items()}


def cost(world: World) -> tuple[pl.DataFrame, dict[str, float]]:
    """Offer events at rising rates, by the batch and one by one."""
    rows: list[dict[str, object]] = []
    with running(world) as programs:
        if programs is None:
            return pl.DataFrame(), {}
        for size in (500, 1):  # what is made once is made
            offer(programs, size, 200 if size > 1 else 50, 5.0)
        for size, rate in OFFERED:
            rows.append(offer(programs, size, rate, SECONDS))
    table = pl.DataFrame(rows)
    both = pl.min_horizontal("acknowledged_per_s", "folded_per_s")
    reached = table.filter(both >= REACHED * pl.col("offered_per_s"))
    best = {size: reached.filter(pl.col("events_a_request") == size) for size in (500, 1)}
    numbers = {f"live.{name}": float(best[size]["acknowledged_per_s"].max() or 0.0)  # type: ignore[arg-type]
               for name, size in (("events_per_s", 500), ("single_events_per_s", 1))}  # fmt: skip
    return table, numbers


@contextmanager
def running(world: World) -> Iterator[Running | None]:
    """Start both stores, the service and a worker; None where a store is not installed."""
    with ExitStack() as stack:
        address, database = stack.enter_context(redis()), stack.enter_context(postgres())
        if not address or database is None:
            yield None
            return
        stores = {"online_store": "redis", "redis": address, "live_log": database.url}
        mine = Settings(**(world.settings.model_dump() | stores))
        materialize(open_log(world.definition, mine, ends=None, steps=unseen), world.definition, mine)
        variables = server_environment(world, PROPENSITY_ONLINE_STORE="redis", PROPENSITY_REDIS=address,
                                       PROPENSITY_LIVE_LOG=database.url, PROPENSITY_WORKER="off")  # fmt: skip
        # from the first batch on, the worker looks for the transitions of users who act, too
        score = [sys.executable, "-m", "propensity", "score"]
        subprocess.run(score, cwd=ROOT, check=True, env=os.environ | variables, stdout=subprocess.DEVNULL)
        live = LiveLog.open(world.definition, mine)
        stack.callback(live.close)
        command = [sys.executable, "-m", "propensity", "worker", "--port", "0"]
        worker = subprocess.Popen(command, cwd=ROOT, env=os.environ | variables, stderr=subprocess.DEVNULL)
        stack.callback(worker.wait, 20)
        stack.callback(worker.terminate)
        client, service = stack.enter_context(served(NAME, variables))
        programs = {"service": service.pid, "worker": worker.pid, "postgresql": database.pid}
        yield Running(str(client.base_url), live, OnlineProfiles(world.definition, mine), programs)


def offer(programs: Running, size: int, rate: float, seconds: float) -> dict[str, object]:
    """Offer events at a rate, and wait until all are folded; a row of the table."""
    bodies, before = list(batches(size, int(rate * seconds / size))), programs.cpu()
    load = Load()
    taken = asyncio.run(_offered(programs, load, bodies, rate / size))
    limit = time.perf_counter() + PATIENCE
    while _look(programs, load) and time.perf_counter() < limit:
        time.sleep(LOOK)
    folded = time.perf_counter()
    spent = {name: seconds - before[name] for name, seconds in programs.cpu().items()}
    p50, p99 = (float(np.quantile(taken, q)) for q in (0.5, 0.99))
    delays = np.array(load.delays or [np.nan])
    return {
        "events_a_request": size, "offered_per_s": rate,
        "acknowledged_per_s": load.accepted / (load.ended - load.began),
        "folded_per_s": load.accepted / (folded - load.began), "turned_away": load.away,
        "acknowledged_p50_ms": p50, "acknowledged_p99_ms": p99,
        "folded_after_p50_s": float(np.quantile(delays, 0.5)), "folded_after_p99_s": float(np.quantile(delays, 0.99)),
        **{f"{name}_us_an_event": s / max(load.accepted, 1) * 1e6 for name, s in spent.items()},
    }  # fmt: skip


def batches(size: int, count: int) -> Iterator[bytes]:
    """Requests of so many events, of users drawn from all that the world has; of each call other ids."""
    draw, run = random.Random(time.time_ns()), time.time_ns()  # noqa: S311 - a load, no secret
    for i in range(count):
        events = [
            {"type": "track", "userId": f"u{draw.randrange(20_000):07d}", "messageId": f"{run}-{i}-{j}",
             "event": draw.choice(EVENTS), "properties": {"revenue": 5.0}}
            for j in range(size)
        ]  # fmt: skip
        yield json.dumps({"batch": events}).encode()


async def _offered(programs: Running, load: Load, bodies: Sequence[bytes], per_s: float) -> np.ndarray:
    """Send requests, and look meanwhile how far they are folded; milliseconds to each answer."""
    headers, looked = {"content-type": "application/json"}, 0.0

    async def send(i: int) -> None:
        nonlocal looked
        async with client.post("/v1/batch", data=bodies[i], headers=headers) as answer:
            found = await answer.json()
            load.ended = time.perf_counter()
            if answer.status != 200:
                load.away += 1
                return
            load.accepted += found["accepted"]
        if load.ended - looked > 0.1 or i == len(bodies) - 1:
            looked = load.ended
            load.waiting.append((await asyncio.to_thread(programs.live.last), looked))

    async def watch() -> None:
        while True:
            await asyncio.to_thread(_look, programs, load)
            await asyncio.sleep(LOOK)

    async with aiohttp.ClientSession(programs.url) as client:
        watching = asyncio.create_task(watch())
        load.began = time.perf_counter()
        taken = await open_loop(per_s, len(bodies) / per_s, send)
        watching.cancel()
        load.waiting.append((programs.live.last(), load.ended))
        return taken


def _look(programs: Running, load: Load) -> bool:
    """Note which acknowledged events are folded by now; returns whether any are not."""
    through, now = programs.folded_through(), time.perf_counter()
    done = [at for position, at in load.waiting if position <= through]
    load.delays += [max(now - at, 0.0) for at in done]
    load.waiting = [one for one in load.waiting if one[0] > through]
    return bool(load.waiting)


def _cpu(pid: int) -> float:
    """Seconds of processor time of a process and of those it started, the ended ones among them."""
    try:
        with open(f"/proc/{pid}/stat") as stat, open(f"/proc/{pid}/task/{pid}/children") as children:
            times = [int(part) for part in stat.read().rsplit(")", 1)[1].split()[11:15]]
            return sum(times) / os.sysconf("SC_CLK_TCK") + sum(_cpu(int(child)) for child in children.read().split())
    except OSError:  # it ended meanwhile
        return 0.0
