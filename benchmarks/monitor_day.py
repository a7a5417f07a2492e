"""A night's monitoring of a million users: predictions drawn from a new batch, those that matured compared."""

from pathlib import Path
from time import perf_counter

import numpy as np
import polars as pl

from benchmarks.merge_day import written_rows
from benchmarks.world import Log
from features.definition.schema import Definition
from features.open_log import open_log
from features.reading.source import EventLog
from features.settings import Settings
from features.system.progress import unseen
from features.time import DAY, Clock, to_datetime
from monitoring.monitor import monitor
from monitoring.operations import Running
from segments.tiers import TIERS, VALUE_TIERS
from serving.activation.memberships import Memberships
from serving.database.log.live_log import LiveLog
from serving.scoring.earlier.batch import scores_path
from serving.scoring.serialize import part_of

#: batches of scores: six weekly ones, of which the older ones have matured
WEEKS = 6


def seconds(log: Log, home: Path, users: int = 1_000_000) -> dict[str, float]:
    """Monitor a log of so many users, eight events each in ninety days, after a week's batch more.

    Answers are drawn, not made by a model; so users are not compared with those of a fit.

    Args:
        log: whose rows are given to other users and days.
        home: where it is done.
        users: how many.

    Returns:
        ``monitoring.seconds_1m_users``.
    """
    definition, ends = _log(log, home / "events", users), EventLog(log.definition).ends
    settings = Settings(home=home / "var")
    for week in range(WEEKS):
        _scored(definition, settings, users, ends - (WEEKS - week) * 7 * DAY)
    memberships = Memberships(definition, LiveLog.open(definition, settings), Clock())
    read = open_log(definition, settings, ends=ends, steps=unseen)
    running = Running(batches=(), profiles=None, audiences=(), outbox=memberships.outbox.status())
    monitor(read, definition, settings, memberships, {}, running)
    _scored(definition, settings, users, ends)
    began = perf_counter()
    monitor(read, definition, settings, memberships, {}, running)
    return {"monitoring.seconds_1m_users": perf_counter() - began}


def _log(log: Log, files: Path, users: int) -> Definition:
    """The definition of a log of so many users."""
    files.mkdir(parents=True)
    rows = pl.read_parquet(log.folder / "data/demo/events/**/*.parquet")
    rng, ends = np.random.default_rng(1), EventLog(log.definition).ends
    names = pl.select("u" + pl.Series(rng.integers(0, users, 8 * users)).cast(pl.String)).to_series()
    written_rows(files / "known.parquet", rows, rng, names, ends - 90 * DAY, ends)
    events = log.definition.events.model_copy(update={"path": str(files / "*.parquet")})
    found = log.definition.model_copy(update={"name": "million", "events": events, "traits": None})
    found._source = log.definition._source
    return found


def _scored(definition: Definition, settings: Settings, users: int, at: int) -> None:
    """A batch of answers for everybody."""
    rng, instant = np.random.default_rng(at % 2**32), pl.lit(to_datetime(at)).cast(pl.Datetime("us", "UTC"))
    parts: dict[str, list[pl.Expr]] = {"intent": [], "value": []}
    for name, rule in definition.outcomes.items():
        answer = rng.beta(2, 5, users) if name in definition.likelihoods else rng.gamma(1.0, 20.0, users)
        tiers = TIERS if name in definition.likelihoods else VALUE_TIERS
        fields = [pl.Series(rule.answer, answer), pl.lit(tiers[1]).alias("tier"), pl.lit(f"{name}/1").alias("model")]
        parts[part_of(rule)].append(pl.struct(fields).alias(name))
    names = pl.select("u" + pl.int_range(users).cast(pl.String)).to_series().alias("user_id")
    records = pl.DataFrame([names]).with_columns(
        instant.alias("as_of"), pl.lit("active").alias("state"),
        *(pl.struct(some).alias(name) for name, some in parts.items() if some),
    )  # fmt: skip
    folder = scores_path(settings.scores(definition.name), at)
    folder.mkdir(parents=True)
    records.write_parquet(folder / "part-00000.parquet")
