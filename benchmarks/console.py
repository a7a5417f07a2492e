"""What pages of the console cost at a million users, and what ten people in it cost those who ask for scores."""

import html
import itertools
import re
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.answers import NAME, latencies, served, server_environment
from benchmarks.world import ROOT, World, environment
from features.events.write import part_files
from features.time import DAY, to_datetime, to_instant
from serving.scoring.earlier.batch import Earlier
from serving.scoring.population import populations

USERS = 1_000_000

#: how often each page is asked for, users who are looked at, and calls for scores of a round
PAGES, LOOKED_AT, CALLS, ROUNDS = 30, 30, 300, 5

#: people in the console, and how long one reads between two pages, in seconds
PEOPLE, READS = 10, 2.0

#: a segment of several conditions
SEGMENT = "regulars_now_a_no_show"


def cost(world: World, users: int = USERS) -> tuple[pl.DataFrame, dict[str, float]]:
    """Time pages over HTTP, and scores with and without people in the console.

    The batch, its population, the memberships and the transitions are those of so many users; the profiles and the
    events are those of the world's own users, who are the ones looked at.

    Args:
        world: trained; scored and multiplied here.
        users: how many there are to be.

    Returns:
        A table, and ``console.first_page_ms``, ``console.builder_ms``, ``console.user_ms``, and
        ``console.score_p50_beside_ten``: the median time of a score while ten people are in the console, over the same
        without them.
    """
    _scored(world)
    _multiplied(world, users)
    with served(NAME, server_environment(world)) as (client, _):
        client.follow_redirects = True
        began = time.perf_counter()
        client.get("/console/").raise_for_status()
        counted = 1e3 * (time.perf_counter() - began)
        pages = {
            "first page": [_ms(client, "/console/") for _ in range(PAGES)],
            "segments": [_ms(client, "/console/segments") for _ in range(PAGES)],
            "overlap": [_ms(client, "/console/overlap") for _ in range(PAGES)],
            "cut-off": [_ms(client, "/console/cut-off") for _ in range(PAGES)],
            "builder": _builder(client),
            **_user(client),
        }
        alone, beside = _beside_people(client)
    rows = [{"what": "the first page after a start, which counts the batch", "p50_ms": counted, "p90_ms": None}]
    rows += [{"what": name, "p50_ms": _median(ms), "p90_ms": float(np.quantile(ms, 0.9))} for name, ms in pages.items()]
    for name, ms in (("score, nobody in the console", alone), (f"score, {PEOPLE} people in the console", beside)):
        rows.append({"what": name, "p50_ms": _median(ms), "p90_ms": float(np.quantile(ms, 0.9))})
    return pl.DataFrame(rows), {
        "console.first_page_ms": _median(pages["first page"]),
        "console.builder_ms": _median(pages["builder"]),
        "console.user_ms": _median(pages["user"]),
        "console.score_p50_beside_ten": _median(beside) / _median(alone),
    }


def _median(values: list[float]) -> float:
    return float(np.median(values))


def _ms(client: httpx.Client, path: str) -> float:
    began = time.perf_counter()
    client.get(path).raise_for_status()
    return 1e3 * (time.perf_counter() - began)


def _builder(client: httpx.Client) -> list[float]:
    """A rule is counted after each change of it."""
    page = client.get(f"/console/segments/{SEGMENT}/edit").text
    form = page[page.index('<form method="post" action="/console/edit-segment"') :]
    found = dict(re.findall(r'<input[^>]*name="([^"]+)"[^>]*value="([^"]*)"', form[: form.index("</form>")]))
    fields = {name: html.unescape(value) for name, value in found.items() if not name.startswith("at.")}
    taken = []
    for _ in range(PAGES):
        began = time.perf_counter()
        client.post("/console/edit-segment", data=fields | {"do": "count"}).raise_for_status()
        taken.append(1e3 * (time.perf_counter() - began))
    return taken[1:]  # the first reads the columns


def _user(client: httpx.Client) -> dict[str, list[float]]:
    """The page of a user, and its parts that are fetched after it."""
    taken: dict[str, list[float]] = {"user": [], "user, timeline": [], "user, every condition": []}
    for i in range(LOOKED_AT + 1):
        page = client.post("/console/users", data={"csrf": _csrf(client), "user_id": f"u{i * 131:07d}"})
        if page.status_code == 404:  # nothing is known of somebody who has done nothing yet
            continue
        path = page.url.path
        for name, part in zip(taken, ("", "/timeline", "/truth"), strict=True):
            taken[name].append(_ms(client, path + part))
    return {name: values[1:] for name, values in taken.items()}


def _csrf(client: httpx.Client) -> str:
    return re.findall(r'name="csrf" value="([^"]*)"', client.get("/console/users").text)[0]


def _beside_people(client: httpx.Client) -> tuple[list[float], list[float]]:
    """Scores without and with people in the console, turn and turn about."""
    alone, beside = list[float](), list[float]()
    for _ in range(ROUNDS):
        alone += latencies(client, 1, CALLS).tolist()
        with _people(str(client.base_url)):
            beside += latencies(client, 1, CALLS).tolist()
    return alone, beside


@contextmanager
def _people(url: str) -> Iterator[None]:
    """People who go from page to page, each with a browser."""
    stopped = threading.Event()

    def visit(first: float) -> None:
        pages = itertools.cycle(
            ("/console/", "/console/segments", f"/console/segments/{SEGMENT}/edit", "/console/models")
        )
        with httpx.Client(base_url=url, follow_redirects=True, timeout=60) as browser:
            stopped.wait(first)
            while not stopped.is_set():
                browser.get(next(pages)).raise_for_status()
                stopped.wait(READS)

    threads = [threading.Thread(target=visit, args=(READS * i / PEOPLE,)) for i in range(PEOPLE)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stopped.set()
        for thread in threads:
            thread.join()


def _scored(world: World) -> None:
    """Score the world twice, a week apart, and put its profiles online."""
    ends = to_instant(world.definition.events.ends) if world.definition.events.ends else 0
    for command in (["score", "--as-of", f"{to_datetime(ends - 7 * DAY):%Y-%m-%dT%H:%M:%SZ}"], ["score"],
                    ["materialize"]):  # fmt: skip
        asked = [sys.executable, "-m", "propensity", *command, "-d", str(world.settings.definition)]
        subprocess.run(asked, cwd=ROOT, env=environment(world.settings), check=True, stdout=subprocess.DEVNULL)


def _multiplied(world: World, users: int) -> None:
    """Put as many users beside each one as are needed: of the newest batch, its columns, memberships, transitions."""
    name, settings = world.definition.name, world.settings
    batch = Earlier.newest(settings.scores(name))
    if batch is None:
        raise ValueError("nothing was scored")
    copies = -(-users // sum(pq.read_metadata(file).num_rows for file in part_files(batch.path)))
    for folder in (batch.path, list(populations(settings.population(name)).values())[-1]):
        _copied(folder, copies)
    week = to_instant(batch.as_of) - 7 * DAY
    with sqlite3.connect(settings.folder(name) / "live.db") as live:
        live.execute("PRAGMA synchronous = OFF")
        for table, since in (("handoff_memberships", 0), ("handoff_transitions", week)):
            columns = [row[1] for row in live.execute(f"PRAGMA table_info({table})") if row[1] not in ("id", "user_id")]
            named = ", ".join(f'"{column}"' for column in columns)
            for k in range(1, copies):
                live.execute(
                    f"INSERT INTO {table} (user_id, {named}) SELECT user_id || '-{k}', {named} FROM {table} "
                    "WHERE user_id NOT LIKE '%-%' AND at > ?",
                    (since,),
                )


def _copied(folder: Path, copies: int) -> None:
    for file in list(part_files(folder)):
        whole = pq.read_table(file)
        at = whole.schema.get_field_index("user_id")
        for k in range(1, copies):
            ids = pl.Series(whole["user_id"].cast(pa.large_string())) + f"-{k}"
            column = ids.to_arrow().cast(whole.schema.field(at).type)
            pq.write_table(whole.set_column(at, whole.schema.field(at), column), folder / f"{file.stem}-{k}.parquet")
