"""The demo world: repeatable, realistic, and with a truth that is true."""

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from examples.demo.simulate import people, simulate
from examples.demo.truth import best_answers
from examples.demo.world import WORLDS
from features.events.compacted import NONE
from features.expressions.program import holds
from features.reading.source import EventLog
from features.rows import INSTANT
from features.traits import latest_traits
from serving.model.registry.loader import Loader
from serving.scoring.feature_rows import batch_rows
from tests.conftest import ROOT, World
from training.dataset.outcomes import label
from training.evaluation.metrics import Ranking, metrics


def demo(folder: Path, *options: str) -> None:
    command = [
        sys.executable,
        "-m",
        "examples.demo",
        "--out",
        str(folder / "log"),
        "--truth",
        str(folder / "truth"),
        *options,
    ]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)


def test_the_same_seed_writes_the_same_log(tmp_path: Path) -> None:
    for name, seed in (("a", "1"), ("b", "1"), ("c", "2")):
        demo(tmp_path / name, "--users", "200", "--seed", seed)
    logs = {name: pl.read_parquet(tmp_path / name / "log" / "events" / "*.parquet") for name in "abc"}
    assert logs["a"].equals(logs["b"])
    assert not logs["a"].equals(logs["c"])


def test_the_log_holds_what_a_real_one_would(world: World) -> None:
    events = pl.read_parquet(world.folder / "data" / "demo" / "events" / "*.parquet")
    assert set(events["event"].unique()) == {
        "install", "sign_up", "app_open", "view_item", "search", "add_to_cart", "remove_from_cart", "purchase",
        "push_sent", "app_remove",
    }  # fmt: skip
    assert events["event_id"].is_duplicated().any(), "clients retry"
    assert events["user_id"].str.starts_with("test-").any(), "robots are there to be excluded"
    late = (
        events.filter(pl.col("event") == "app_remove").select(pl.col("arrived_at") - pl.col("event_time")).to_series()
    )
    assert late.dt.total_hours().is_between(12, 72).all(), "an uninstall is noticed half a day to three days late"
    assert events.filter(pl.col("event") == "purchase")["revenue"].gt(0).all()
    traits = pl.read_parquet(world.folder / "data" / "demo" / "traits.parquet")
    assert traits["user_id"].n_unique() == 3_000
    assert traits.filter(pl.col("user_id").is_duplicated())["plan"].n_unique() == 2, "some upgrade later"


def test_nobody_acts_after_uninstalling_or_before_installing(world: World) -> None:
    events = pl.read_parquet(world.folder / "data" / "demo" / "events" / "*.parquet")
    acts = events.filter(
        ~pl.col("event").is_in(["push_sent", "app_remove", "install"]) & ~pl.col("user_id").str.starts_with("test-")
    )
    span = acts.group_by("user_id").agg(
        pl.col("event_time").min().alias("first"), pl.col("event_time").max().alias("last")
    )
    for name, column, sign in (("app_remove", "last", 1), ("install", "first", -1)):
        marks = events.filter(pl.col("event") == name).group_by("user_id").agg(pl.col("event_time").min())
        joined = span.join(marks, on="user_id")
        assert (sign * (joined["event_time"] - joined[column]).dt.total_seconds() >= -60).all()


@pytest.mark.parametrize("world_of", WORLDS)
def test_truth_is_calibrated(world_of: str) -> None:
    """What the filter calls 30 % happens in 30 % of cases, within sampling error, for every outcome and level."""
    rng = np.random.default_rng(11)
    folk = people(rng, 0, 6_000)
    events, seen = simulate(rng, folk, WORLDS[world_of])
    cutoff = datetime(2026, 1, 20, tzinfo=UTC)
    truth, _ = best_answers(folk, seen, [cutoff], WORLDS[world_of])
    c = int(cutoff.timestamp() * 1e6)
    questions = {
        "churn": (["app_open"], 14, False),
        "purchase": (["purchase"], 7, True),
        "uninstall": (["app_remove"], 14, True),
    }
    for name, (signal, days, will) in questions.items():
        window = pl.col("event_time").is_between(c, c + days * 86_400_000_000, closed="left")
        fired = events.filter(pl.col("event").is_in(signal) & window)["user_id"].unique()
        happened = (truth["user_id"].is_in(fired.implode()) == will).to_numpy()
        p = truth[name].to_numpy()
        for part in np.array_split(np.argsort(p), 8):
            expected, spread = p[part].sum(), np.sqrt((p[part] * (1 - p[part])).sum())
            assert abs(happened[part].sum() - expected) < 4 * spread, f"{name} around {p[part].mean():.2f}"


def test_truth_is_asked_at_midnights_of_the_world() -> None:
    rng = np.random.default_rng(1)
    folk = people(rng, 0, 5)
    _, seen = simulate(rng, folk, WORLDS["shop"])
    for wrong in (
        datetime(2026, 1, 20, 12, tzinfo=UTC),
        datetime(2027, 1, 1, tzinfo=UTC),
        datetime(2020, 1, 1, tzinfo=UTC),
    ):
        with pytest.raises(ValueError, match="must be midnights of the 300 days"):
            best_answers(folk, seen, [wrong], WORLDS["shop"])


def test_a_model_of_three_thousand_users_comes_near_the_best_possible(world: World) -> None:
    truth = pl.read_parquet(world.folder / "truth" / "truth.parquet").rename({"user_id": "user"})
    newest = truth["cutoff"].max()
    truth = truth.filter(pl.col("cutoff") == newest)
    events = EventLog(world.definition).read()
    cutoff = int(truth["cutoff"].cast(INSTANT).dt.epoch("us")[0])
    champions = Loader(world.definition, world.settings).champions()
    for name, model in ((name, champions[name]) for name in world.definition.likelihoods):
        scored = []
        for rows in batch_rows(events, world.definition, cutoff, latest_traits(world.definition, cutoff, NONE)):
            frame = rows.frame(world.definition.likelihoods[name].among.columns)
            inside = holds(world.definition.likelihoods[name].among, frame)
            p = model.predict(model.matrix_of(rows))
            scored.append(frame.select("user", "cutoff").with_columns(p=pl.Series(p)).filter(inside))
        both = pl.concat(scored).join(truth.select("user", name), on="user")
        labels = label(events, both, world.definition, name).to_numpy().astype(float)
        ones = np.ones(len(labels))
        ours, best = (metrics(Ranking.of(both[column].to_numpy()), labels, ones) for column in ("p", name))
        assert ours["auc"] / best["auc"] > 0.93, name
        assert ours["log_loss"] - best["log_loss"] < 0.03, name
