"""Names that look like ours, or like SQL's, go through a training and a scoring without a collision."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import yaml

from features.definition import Definition, load_definition
from features.events.compacted import NONE
from features.reading.source import EventLog
from features.settings import Settings
from features.system.progress import unseen
from features.traits import latest_traits
from segments.rfm_cuts import load_cuts
from serving.model.registry.loader import Loader
from serving.scoring.feature_rows import batch_rows
from serving.scoring.scorer import Scorer
from tests.conftest import ROOT
from tests.forks import run_module
from training.job import train

START, DAYS, USERS = datetime(2025, 1, 1, tzinfo=UTC), 130, 600

#: of columns and tables of ours, inside the engines too; of features of others; of SQL
SIGNALS = ("label", "user", "score", "null", "visit_", "a__b", "orders_count_7d")
TRAITS = (
    "score",
    "t",
    "mask",
    "v0",
    "visible",
    "select",
    "order",
    "group",
    "a__b",
    "orders_count_7d",
    "through_",
)
DERIVED = ("from", "where", "table", "score_", "x__z", "buys_count_7d", "quantile", "rank")
OUTCOMES = ("score", "select", "orders_count_7d")
STATES = ("label", "user", "select", "null", "state", "not_enough_to_say", "true")
SEGMENTS = ("label", "user", "weight", "score", "select", "cutoff", "state", "orders_count_7d", "null", "a__b")


def log_of(rng: np.random.Generator) -> pl.DataFrame:
    """Visits of people who come at rates of their own and stop one day; each does some of the other things."""
    rows = []
    for u in range(USERS):
        rate, stops = rng.gamma(1.5, 0.25), rng.exponential(90)
        days = np.flatnonzero((rng.random(DAYS) < rate) & (np.arange(DAYS) < stops + 5))
        rows += [(f"u{u}", "visit", int(d), 0.0) for d in days]
        rows += [(f"u{u}", "buy", int(d), float(rng.gamma(2, 10))) for d in days[rng.random(len(days)) < 0.3]]
        rows += [(f"u{u}", str(rng.choice(SIGNALS)), int(d), 1.0) for d in days[rng.random(len(days)) < 0.5]]
    seconds = rng.integers(0, 86_400, len(rows)).tolist()
    return pl.DataFrame({
        "user": [row[0] for row in rows],
        "event": [row[1] for row in rows],
        "label": [START + timedelta(days=row[2], seconds=s) for row, s in zip(rows, seconds, strict=True)],
        "weight": [row[3] for row in rows],
    }).with_columns(pl.col("label").cast(pl.Datetime("us", "UTC")))  # fmt: skip


def definition_of(folder: Path) -> dict[str, object]:
    rng = np.random.default_rng(5)
    log_of(rng).write_parquet(folder / "events.parquet")
    known = {name: rng.choice(["x", "y", "z"], USERS) for name in TRAITS}
    about = {"user": [f"u{u}" for u in range(USERS)], "cutoff": [START] * USERS, **known}
    pl.DataFrame(about).with_columns(pl.col("cutoff").cast(pl.Datetime("us", "UTC"))).write_parquet(
        folder / "t.parquet"
    )
    among = "days_since_visit < 28"
    answers = [
        {"will_not": "visit", "within": "14d", "among": among}, {"will": "buy", "within": "7d", "among": among},
        {"sum_of": "buy", "within": "14d", "among": among},
    ]  # fmt: skip
    states = {name: f"visit_count_30d = {i + 1}" for i, name in enumerate(STATES)} | {"active": "otherwise"}
    conditions = [
        "\"order\" = 'x'",
        '"from" > 1',
        "score_probability > 0.5",
        "select_tier = 'most_likely'",
        "a__b = 'x'",
    ]
    segments = {name: conditions[i % len(conditions)] for i, name in enumerate(SEGMENTS)}
    return {
        "name": "names",
        "events": {
            "path": "events.parquet", "columns": {"user": "user", "event": "event", "time": "label"},
            "ends": (START + timedelta(days=DAYS)).isoformat(),
        },
        "traits": {"path": "t.parquet", "columns": {"user": "user", "known": "cutoff"}, "fields": list(TRAITS)},
        "signals": {
            "visit": {"where": "event = 'visit'", "activity": True},
            "buy": {"where": "event = 'buy'", "value": "weight"},
            **{name: {"where": f"event = '{name}'", "value": "weight"} for name in SIGNALS},
        },
        "windows": [7, 30],
        "derived": dict.fromkeys(DERIVED, "visit_count_7d + label_count_7d"),
        "outcomes": dict(zip(OUTCOMES, answers, strict=True)),
        "rfm": {"signal": "visit", "window": "30d", "money": "buy"},
        "leads": {"label": {"outcome": "score", "threshold": 1, "points": [{"signal": "visit", "points": 1}]}},
        "states": states,
        "segments": segments,
    }  # fmt: skip


@pytest.mark.long
def test_names_that_look_dangerous_go_through_training_and_scoring(tmp_path: Path) -> None:
    (tmp_path / "propensity.yaml").write_text(yaml.safe_dump(definition_of(tmp_path), sort_keys=False))
    definition, settings = load_definition(tmp_path / "propensity.yaml"), Settings(home=tmp_path / "var")
    results = train(definition, settings, steps=unseen, force="the names are what is tried")
    assert {r.outcome: r.refusal for r in results} == dict.fromkeys(OUTCOMES)
    assert all(result.promoted for result in results)
    champions = Loader(definition, settings).champions()
    assert set(champions) == set(OUTCOMES)
    environment = os.environ | {"PROPENSITY_HOME": str(settings.home), "COLUMNS": "200"}
    for command in (["score", "--reasons", "2"], ["report"]):
        ran = run_module("propensity", [*command, "--definition", str(tmp_path / "propensity.yaml")], environment, ROOT)
        assert ran.returncode == 0, ran.stdout + ran.stderr
    [scores] = settings.folder("names").glob("scores/scores-*")
    batch = pl.read_parquet(scores / "*.parquet", hive_partitioning=False)
    assert len(batch) == batch["user_id"].n_unique() > 0.5 * USERS
    assert set(batch["state"].unique()) > {"label", "user", "active"}
    check_one_by_one(definition, settings, batch)


def check_one_by_one(definition: Definition, settings: Settings, batch: pl.DataFrame) -> None:
    """The rows of the batch and each user's record agree."""
    log, scorer = (
        EventLog(definition),
        Scorer(definition, Loader(definition, settings).champions(), load_cuts(definition, settings)),
    )
    rows = next(batch_rows(log.read(), definition, log.ends, latest_traits(definition, log.ends, NONE)))
    answer = {row["user_id"]: row for row in batch.to_dicts()}
    for record in scorer.score(rows, rows.cutoffs).to_records():
        assert record.state == answer[record.user_id]["state"]
        assert record.segments == answer[record.user_id]["segments"]
