"""The demo world with a campaign whose effect on each user is known: uplift ranks it, and none where there is none."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml

from features.definition import Definition, load_definition
from features.open_log import open_log
from features.settings import Settings
from features.system.progress import unseen
from features.time import DAY, day_of
from monitoring.experiments.frozen import outcomes_of
from monitoring.statistics.effects.targeting import doubly_robust, targeting
from monitoring.uplift.learners import FOLDS, s_learner, sequential, within_folds
from monitoring.uplift.learnt import Arms, arms_of, learn
from segments.variants import Trial, trials
from serving.activation.assignments import ASSIGNED
from tests.conftest import ROOT
from tests.serving.activation.scenes import going_to

BEFORE = 21
ENDS = 1_772_323_200_000_000  # 2026-03-01


def demo(folder: Path, *options: str) -> None:
    paths = ("--out", str(folder / "data" / "demo"), "--truth", str(folder / "truth"))
    subprocess.run([sys.executable, "-m", "examples.demo", *paths, *options], cwd=ROOT, check=True, capture_output=True)


def defined(folder: Path) -> Definition:
    content: dict[str, Any] = yaml.safe_load((ROOT / "propensity.yaml").read_text())
    content["destinations"] = {"crm": going_to("http://localhost/", of=["states"])}
    content["experiments"] = {"message": {
        "of": "states.active", "destination": "crm", "variants": {"nothing": 0.5, "mail": 0.5}, "primary": "churn",
        "better": "less", "starts": day_of(ENDS - BEFORE * DAY),
    }}  # fmt: skip
    (folder / "propensity.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    return load_definition(folder / "propensity.yaml")


def campaign(folder: Path, *options: str) -> tuple[Arms, Trial, Definition, pl.DataFrame]:
    """A world of 16,000 users, as an experiment of everybody who could be sent the message."""
    demo(folder, "--users", "16000", "--campaign", str(BEFORE), *options)
    definition, settings = defined(folder), Settings(home=folder / "var")
    [trial] = trials(definition).values()
    truth = pl.read_parquet(folder / "truth" / "campaign.parquet")
    variant = pl.when("treated").then(pl.lit("mail")).otherwise(pl.lit("nothing"))
    at = ENDS - BEFORE * DAY
    assigned = truth.select(
        user="user_id", variant=variant, at=pl.lit(at), predicted=pl.lit("{}"), exposure=pl.lit("delivered"),
        exposed_at=pl.lit(at), mixed=pl.lit(False),
    ).cast(ASSIGNED)  # fmt: skip
    log = open_log(definition, settings, ends=None, steps=unseen)
    key = (trial.id, "churn")
    labels, _ = outcomes_of(log, definition, {key: assigned.select("user", "at")}, folder / "kept")
    arms = arms_of(trial, "mail", assigned, labels[key], log, definition, folder / "arms")
    effects = pl.DataFrame({"user_id": arms.names}).join(truth, on="user_id", how="left", maintain_order="left")
    return arms, trial, definition, effects


def test_before_the_campaign_nothing_is_different(tmp_path: Path) -> None:
    logs = []
    for name, options in (("plain", ()), ("sent", ("--campaign", str(BEFORE)))):
        demo(tmp_path / name, "--users", "300", *options)
        logs.append(pl.read_parquet(tmp_path / name / "data" / "demo" / "events" / "*.parquet"))
    midnight = pl.lit(ENDS - BEFORE * DAY).cast(pl.Datetime("us", "UTC"))
    robot = pl.col("user_id").str.starts_with("test-")
    kept = ("user_id", "event", "event_time")
    sessions = [
        log.filter((pl.col("event_time") < midnight) & (pl.col("event") == "app_open") & ~robot) for log in logs
    ]
    days = [one.select("user_id", pl.col("event_time").dt.date()).unique().sort(pl.all()) for one in sessions]
    assert days[0].equals(days[1])
    assert not logs[0].select(kept).equals(logs[1].select(kept))
    assert not (tmp_path / "plain" / "truth" / "campaign.parquet").exists()


@pytest.mark.long
def test_uplift_finds_who_is_moved_and_its_interval_holds_the_truth(tmp_path: Path) -> None:
    arms, trial, definition, effects = campaign(tmp_path)
    lost = -effects["churn"].to_numpy()  # what is wanted is less churn
    assert lost.max() > 0.08
    assert lost.min() < -0.02, "it wins some back, and tires others"
    happened = arms.y[arms.treated == 1].mean() - arms.y[arms.treated == 0].mean()
    error = np.sqrt(4 * 0.25 / len(arms.y))
    assert happened == pytest.approx(lost.mean(), abs=3 * error), "the truth is true"
    found = learn(arms, trial, "mail", definition)
    assert found.offered, found.words
    folds = np.arange(len(arms.y)) % FOLDS
    seen = sequential(s_learner, arms.X, arms.treated, arms.y, folds)
    places = within_folds(seen.high - seen.low, seen.folds)
    judged = targeting(
        doubly_robust(arms.y[seen.rows], arms.treated[seen.rows], seen.low, seen.high, 0.5), places
    ).autoc
    assert judged.low <= targeting(lost[seen.rows], places).autoc.value <= judged.high
    assert np.corrcoef(seen.high - seen.low, lost[seen.rows])[0, 1] > 0.3


@pytest.mark.long
def test_a_campaign_that_does_nothing_offers_nothing(tmp_path: Path) -> None:
    arms, trial, definition, effects = campaign(tmp_path, "--world", "habit")
    assert effects["churn"].abs().max() == 0
    assert not learn(arms, trial, "mail", definition).offered
