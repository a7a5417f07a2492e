"""A trained world that was scored each week, and what the monitor keeps of it."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from features.open_log import open_log
from features.system.progress import unseen
from features.time import Clock, to_instant
from monitoring.monitor import Monitored, monitor
from propensity.commands.monitoring.monitor import running_of
from segments.rfm_cuts import load_cuts
from serving.activation.memberships import Memberships
from serving.database.log.live_log import LiveLog
from serving.model.registry.loader import Loader
from serving.scoring.batch import score_all
from serving.scoring.scorer import Scorer
from tests.conftest import World

WEEKS = [datetime(2026, 1, 4, tzinfo=UTC) + i * timedelta(days=7) for i in range(7)]


def scored_weekly(world: World) -> None:
    """Score a world each week for seven weeks, by its champions."""
    champions = Loader(world.definition, world.settings).champions()
    scorer = Scorer(world.definition, champions, load_cuts(world.definition, world.settings))
    log = open_log(world.definition, world.settings, ends=None, steps=unseen)
    for at in WEEKS:
        score_all(log, scorer, to_instant(at), world.settings.scores(world.definition.name))


def memberships(world: World) -> Memberships:
    return Memberships(world.definition, LiveLog.open(world.definition, world.settings), Clock())


def looked(world: World, *, ends: datetime | None = None) -> Monitored:
    log = open_log(world.definition, world.settings, ends=to_instant(ends) if ends else None, steps=unseen)
    fitted = {name: to_instant(WEEKS[0]) for name in world.definition.outcomes}
    champions = Loader(world.definition, world.settings).champions()
    known = memberships(world)
    running = running_of(world.definition, world.settings, known)
    return monitor(log, world.definition, world.settings, known, fitted, running, models=champions)


def relabel(world: World, outcome: str, *, slope: float = 1.0, offset: float = 0.0, seed: int = 1) -> None:
    """Let what the monitor keeps have come true by a line of the logits, or times ``exp(offset)`` where amounts are."""
    rng = np.random.default_rng(seed)
    for file in sorted((world.settings.monitoring(world.definition.name) / "matured" / outcome).glob("*.parquet")):
        rows = pl.read_parquet(file)
        p = rows["answer"].to_numpy()
        if outcome in world.definition.amounts:
            came = p * np.exp(offset) * rng.gamma(2.0, 0.5, len(p))
        else:
            truth = 1 / (1 + np.exp(-(slope * np.log(p / (1 - p)) + offset)))
            came = (rng.random(len(p)) < truth).astype(np.float64)
        rows.with_columns(label=pl.Series(came)).write_parquet(file)
