"""What putting profiles online and reading them costs, beside named features in the same Feast stores."""

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import pandas as pd
import polars as pl
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
from feast.types import Float64, String

from benchmarks.world import Log
from features.definition.columns import feature_set
from features.definition.schema import Definition
from features.event_store.store import EventStore
from features.feature_store import OnlineProfiles
from features.reading.source import EventLog
from features.settings import Settings
from features.time import to_datetime
from serving.scoring.feature_rows import online_rows
from serving.upkeep.materialize import materialize

NAMED = 60


@contextmanager
def redis() -> Iterator[str | None]:
    """A Redis of our own, or None where it is not installed."""
    if shutil.which("redis-server") is None:
        yield None
        return
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        ["redis-server", "--port", str(port), "--save", "", "--bind", "127.0.0.1"], stdout=subprocess.DEVNULL
    )
    time.sleep(1)
    try:
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


def named_features(folder: Path, names: list[str], frame: pd.DataFrame) -> tuple[FeatureStore, float]:
    """The usual way: each feature by its name in Feast; and how many users a second are written."""
    config = RepoConfig(
        project="named", provider="local", registry=str(folder / "named.registry"), entity_key_serialization_version=3,
        offline_store={"type": "duckdb"}, online_store={"type": "sqlite", "path": str(folder / "named.db")},
    )  # fmt: skip
    store = FeatureStore(config=config)
    user = Entity(name="user", join_keys=["user"], value_type=ValueType.STRING)
    frame.to_parquet(folder / "named.parquet", coerce_timestamps="us", allow_truncated_timestamps=True)
    view = FeatureView(
        name="named", entities=[user],
        schema=[Field(name="user", dtype=String), *(Field(name=n, dtype=Float64) for n in names)],
        source=FileSource(name="named", path=str(folder / "named.parquet"), timestamp_field="event_timestamp"),
    )  # fmt: skip
    store.apply([user, view])
    began = perf_counter()
    store.write_to_online_store("named", frame)
    return store, len(frame) / (perf_counter() - began)


def cost(log: Log) -> tuple[pl.DataFrame, dict[str, float]]:
    """Materialise everybody into each store; read 1 and 1,000 users, packed and by named features."""
    rows: list[dict[str, Any]] = []
    numbers: dict[str, float] = {}
    with log.fresh_home() as home, redis() as address:
        settings = Settings(home=home)
        store = EventStore.open(EventLog(log.definition), settings)
        for kind in ("sqlite", *(["redis"] if address else [])):
            mine = Settings(home=home / kind, online_store=kind, redis=address or "")  # type: ignore[arg-type]
            began = perf_counter()
            users = materialize(store, log.definition, mine)
            taken = perf_counter() - began
            began = perf_counter()
            materialize(store, log.definition, mine)
            again = perf_counter() - began
            online = OnlineProfiles(log.definition, mine)
            reads = {n: reading(partial(_packed, online, log.definition, store.ends), n) for n in (1, 1_000)}
            numbers[f"materialize.{kind}_users_per_s"] = users / taken
            rows.append(
                {"store": kind, "what": "packed profile", "users": users, "written_per_s": users / taken,
                 "again_s": again, "read_1_ms": reads[1], "read_1000_ms": reads[1_000]}
            )  # fmt: skip
        names = list(feature_set(log.definition).numeric[:NAMED])
        online = OnlineProfiles(log.definition, Settings(home=home / "sqlite"))
        some = [f"u{i:07d}" for i in range(3_000)]
        frame = online_rows(online, log.definition, some, store.ends).rows.frame(names).drop("cutoff").to_pandas()
        frame["event_timestamp"] = to_datetime(store.ends)
        named, speed = named_features(home, names, frame)
        refs = [f"named:{n}" for n in names]
        fetch = {
            n: reading(lambda ids: named.get_online_features(refs, [{"user": u} for u in ids]).to_dict(), n)
            for n in (1, 1_000)
        }
        rows.append(
            {"store": "sqlite", "what": f"{NAMED} named features", "users": len(some), "written_per_s": speed,
             "again_s": None, "read_1_ms": fetch[1], "read_1000_ms": fetch[1_000]}
        )  # fmt: skip
        numbers["online.read_vs_named_feast_1000"] = fetch[1_000] / float(rows[0]["read_1000_ms"])
    return pl.DataFrame(rows), numbers


def _packed(online: OnlineProfiles, definition: Definition, as_of: int, users: list[str]) -> object:
    return online_rows(online, definition, users, as_of)


def reading(read: Any, users: int) -> float:
    """Milliseconds of reading so many users, the median of several."""
    taken = []
    for i in range(12):
        ids = [f"u{(i * 131 + j) % 3_000:07d}" for j in range(users)]
        began = perf_counter()
        read(ids)
        taken.append(perf_counter() - began)
    return median(taken[2:]) * 1e3
