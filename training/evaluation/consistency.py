"""Checks of the pipeline on a sample of users: later events do not change features, and serving and training agree."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl

from features.definition.columns import feature_set
from features.definition.schema import Definition
from features.events.draws import draw
from features.events.events import Events
from features.events.log import Log
from features.events.write import part_files
from features.feature_store import OnlineProfiles
from features.profile.fold import feature_rows, read_all_at
from features.rows import INSTANT, FeatureRows
from features.settings import Settings
from features.time import DAY, Instants, to_datetime
from features.traits import latest_traits, with_traits
from serving.model.model import Model
from serving.scoring.feature_rows import online_rows
from training.evaluation.gate import Criterion, served_alike
from training.evaluation.leakage import Finding, finding

#: about how many users are looked at
USERS = 1_000


def future_check(log: Log, cutoffs: Instants, definition: Definition, scratch: Path) -> Finding:
    """Change what happened, or was heard of, at or after a cutoff; no feature as of the cutoff may change.

    Events from the cutoff on, and earlier ones that had not arrived by it, get other times, signals and values, and
    every user gets one more event at the cutoff itself.
    """
    features = feature_set(definition).numeric
    schema = pl.Schema({"column": pl.String(), "users": pl.Int64()})
    count = USERS // log.runs + 1

    def work(events: Events) -> Iterator[pl.DataFrame]:
        some = sample(events, count)
        for cutoff in cutoffs.tolist():
            at = np.array([cutoff])
            was, now = (
                pl.concat(feature_rows(e, read_all_at(e, at), definition))
                for e in (some, changed_after(some, cutoff, len(definition.signals)))
            )
            both = was.join(now, on="user", how="full", suffix="_now", coalesce=True)
            moved = both.select((~pl.col(n).eq_missing(pl.col(f"{n}_now"))).sum().cast(pl.Int64) for n in features)
            yield moved.insert_column(0, pl.Series("", [len(was)])).unpivot(variable_name="column", value_name="users")

    found = collect(log, work, schema, scratch)
    counts = dict(found.group_by("column").agg(pl.col("users").sum()).iter_rows())
    looked = counts.pop("", 0)
    moved = [name for name, users in counts.items() if users]
    text = f"features of {looked:,} sampled rows stay what they are when everything after their cutoff is changed"
    if moved:
        text = f"{len(moved)} features of past cutoffs move when the future is changed: {', '.join(sorted(moved)[:4])}"
    return finding("future", definition.audit, text, alarm=bool(moved))


def changed_after(events: Events, cutoff: int, signals: int) -> Events:
    """The same users with another future: everything that a cutoff must not see is different.

    Args:
        events: the events.
        cutoff: the instant.
        signals: how many signals there are.
    """
    rng = np.random.default_rng(cutoff % 2**32)
    later = events.visible > cutoff
    n_users = len(events.users)
    owner = np.searchsorted(events.starts, np.arange(events.t.size), side="right") - 1
    ahead = later & (events.t >= cutoff)
    t = np.where(ahead, cutoff + rng.integers(0, 30 * DAY, events.t.size), events.t)
    mask = np.where(later, rng.integers(1, 1 << signals, events.t.size), events.mask)
    values = np.where(later[:, None], events.values * -7.0 + 13.0, events.values)
    visible = np.where(later, np.maximum(t + 1, cutoff + 1), events.visible)
    # one more event for everybody at the very cutoff
    owner = np.append(owner, np.arange(n_users))
    t, visible = np.append(t, np.full(n_users, cutoff)), np.append(visible, np.full(n_users, cutoff + 1))
    mask = np.append(mask, np.full(n_users, 1))
    values = np.vstack([values, np.full((n_users, events.values.shape[1]), 99.0)])
    order = np.lexsort((mask, t, owner))
    return replace(
        events,
        starts=np.searchsorted(owner[order], np.arange(n_users + 1)),
        t=t[order],
        visible=visible[order],
        mask=mask[order],
        values=np.ascontiguousarray(values[order]),
        ends=max(events.ends, int(t.max()) + 1),
    )


def parity(log: Log, definition: Definition, settings: Settings, scratch: Path) -> tuple[FeatureRows, pl.DataFrame]:
    """The same users as the service and as the training sees them, at the log's end.

    Returns:
        The rows read from the stored profiles, and the log's rows of the same users in the same order, with traits.
    """
    features = feature_set(definition)
    schema = pl.Schema({"user": pl.String(), "cutoff": INSTANT, **dict.fromkeys(features.numeric, pl.Float64())})
    at, count = np.array([log.ends]), USERS // log.runs + 1

    def work(events: Events) -> Iterator[pl.DataFrame]:
        some = sample(events, count)
        for frame in feature_rows(some, read_all_at(some, at), definition):
            yield frame.select(schema.names())

    rows = collect(log, work, schema, scratch)
    traits = latest_traits(definition, log.ends, log.live)
    if traits is not None:
        known = traits.with_columns(known=pl.lit(to_datetime(0)).cast(INSTANT))
        rows = with_traits(rows, known)
    served = online_rows(OnlineProfiles(definition, settings, apply=True), definition, rows["user"].to_list(), log.ends)
    return served.rows, pl.DataFrame({"user": served.rows.users}).join(rows, on="user", maintain_order="left")


def saved_alike(model: Model, both: tuple[FeatureRows, pl.DataFrame]) -> Criterion:
    """What the service would say of a sample of users, and what the evaluation was about.

    Args:
        model: not saved yet.
        both: what `parity` returns.
    """
    served, rows = both
    with tempfile.TemporaryDirectory() as folder:
        model.save(Path(folder))
        saved = Model.load(Path(folder), model.version)
    trained = model.predict(model.matrix(rows)) if len(rows) else np.zeros(0)
    answered = saved.predict(saved.matrix_of(served)) if len(served) else np.zeros(0)
    return served_alike(answered, trained, len(rows) - len(served))


def sample(events: Events, count: int) -> Events:
    """A few users of a run, always the same ones."""
    if len(events.users) <= count:
        return events
    drawn = draw(events.users, np.zeros(len(events.users), dtype=np.int64))
    chosen = np.sort(np.argpartition(drawn, count)[:count])
    return events.take(chosen)


def collect(
    log: Log, work: Callable[[Events], Iterator[pl.DataFrame]], schema: pl.Schema, scratch: Path
) -> pl.DataFrame:
    """Run work over a log and bring its few rows here."""
    log.write(work, schema, scratch)
    try:
        return pl.read_parquet(part_files(scratch), schema=schema) if part_files(scratch) else schema.to_frame()
    finally:
        shutil.rmtree(scratch)
