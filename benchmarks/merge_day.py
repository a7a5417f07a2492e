"""A day on which many devices log in, on top of the days before it: with their ids merged, and without."""

from pathlib import Path
from time import perf_counter

import numpy as np
import polars as pl

from benchmarks.world import Log
from features.definition.schema import Definition
from features.definition.sections.log.identities import Identities
from features.event_store.store import EventStore
from features.profile.stored import Profiles
from features.reading.source import EventLog
from features.settings import Settings
from features.time import DAY

#: days on which devices logged in before the one that is measured
EARLIER = 9


def cost(log: Log, home: Path, users: int = 1_000_000, merges: int = 100_000) -> dict[str, float]:
    """Take in and fold a day of a log of so many users on which so many devices log in.

    Args:
        log: whose rows are given to other users and days.
        home: where it is done.
        users: known users, eight events each.
        merges: new devices a day: two events without a user, then one as a user who was there before.

    Returns:
        ``identity.merge_day_s``, and how many times the same day takes without ``identities`` as
        ``identity.merge_day_over_plain``.
    """
    files, ends = home / "events", EventLog(log.definition).ends
    files.mkdir(parents=True)
    rows = pl.read_parquet(log.folder / "data/demo/events/**/*.parquet")
    rng = np.random.default_rng(1)
    before = ends - (EARLIER + 1) * DAY
    written_rows(files / "known.parquet", rows, rng, _users(rng, users, 8 * users), before - 90 * DAY, before)
    for day in range(EARLIER):
        _logins(files, rows, rng, users, merges, before + day * DAY, day)
    variants = {"merged": Identities(alias="anonymous_id"), "plain": None}
    definitions = {name: _reading(log.definition, files, name, rules) for name, rules in variants.items()}
    for name, definition in definitions.items():
        _through(definition, home / name, ends - DAY)
    _logins(files, rows, rng, users, merges, ends - DAY, EARLIER)
    took = {name: _through(definition, home / name, ends) for name, definition in definitions.items()}
    return {"identity.merge_day_s": took["merged"], "identity.merge_day_over_plain": took["merged"] / took["plain"]}


def _users(rng: np.random.Generator, users: int, count: int) -> pl.Series:
    return pl.select("u" + pl.Series(rng.integers(0, users, count)).cast(pl.String)).to_series()


def _logins(
    files: Path, rows: pl.DataFrame, rng: np.random.Generator, users: int, merges: int, begins: int, day: int
) -> None:
    """A day's rows: of each device two without a user, and one after the login."""
    devices = pl.select(pl.lit(f"d{day}-") + pl.int_range(merges).cast(pl.String)).to_series()
    half = begins + DAY // 2
    nobody = pl.Series(np.repeat(None, 2 * merges), dtype=pl.String)
    written_rows(files / f"day{day}a.parquet", rows, rng, nobody, begins, half, pl.concat([devices, devices]))
    known = _users(rng, users, merges)
    written_rows(files / f"day{day}b.parquet", rows, rng, known, half, begins + DAY, devices)


def written_rows(
    file: Path, rows: pl.DataFrame, rng: np.random.Generator, users: pl.Series, begins: int, ends: int,
    devices: pl.Series | None = None,
) -> None:  # fmt: skip
    """Write rows drawn of a log as those of other users, devices and times."""
    count = len(users)
    times = pl.Series(np.sort(rng.integers(begins, ends, count))).cast(pl.Datetime("us", "UTC"))
    drawn = rows[rng.integers(0, len(rows), count)].with_columns(
        users.alias("user_id"),
        (devices if devices is not None else pl.Series([None], dtype=pl.String).new_from_index(0, count)).alias(
            "anonymous_id"
        ),
        event_time=times, arrived_at=times, event_id=pl.lit(f"{file.stem}-") + pl.int_range(count).cast(pl.String),
    )  # fmt: skip
    drawn.write_parquet(file)


def _reading(definition: Definition, files: Path, name: str, rules: Identities | None) -> Definition:
    columns = definition.events.columns.model_copy(update={"user": "COALESCE(user_id, anonymous_id)"})
    events = definition.events.model_copy(update={"path": str(files / "*.parquet"), "columns": columns})
    found = definition.model_copy(update={"name": name, "events": events, "identities": rules, "traits": None})
    found._source = definition._source
    return found


def _through(definition: Definition, home: Path, instant: int) -> float:
    """Take in what is new and fold it; how many seconds that took."""
    began = perf_counter()
    store = EventStore.open(EventLog(definition, ends=instant), Settings(home=home))
    profiles = Profiles(definition, home / "profiles")
    for _ in profiles.advance(store, instant, None):
        pass
    profiles.commit()
    return perf_counter() - began
