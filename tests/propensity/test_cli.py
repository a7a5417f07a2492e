"""The command line: tables for people, words for mistakes, exit codes for programs."""

import shutil
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from features.system.files.lock import locked
from tests.conftest import ROOT, World
from tests.forks import run_module

PROPENSITY = (sys.executable, "-m", "propensity")


def test_check_shows_counts_signals_and_base_rates(untrained_world: World) -> None:
    done = untrained_world.run(*PROPENSITY, "check")
    assert done.returncode == 0, done.stderr
    for answer in (
        "duplicate id",
        "excluded user",
        "cart_add",
        "will not visit within 14d",
        "base rate",
        "known 17d later",
    ):
        assert answer in " ".join(done.stdout.split())
    assert "How many days silences of visit last (Kaplan-Meier)" in done.stdout
    assert "(resurrection rate)" in done.stdout
    assert "suggested churn horizon" in " ".join(done.stdout.split())


def test_train_showed_a_table_and_score_writes_the_records(world: World) -> None:
    done = world.run(*PROPENSITY, "score")
    assert done.returncode == 0, done.stderr
    for answer in ("loyal", "not enough to say", "champion_at_risk", "3,000 records in"):
        assert answer in done.stdout
    [path] = (world.settings.folder("demo-shop") / "scores").glob("*.parquet")
    assert path.name == "scores-2026-03-01T000000Z.parquet"
    records = pl.read_parquet(path)
    answer = ["user_id", "as_of", "last_seen", "state", "rfm", "intent", "value", "segments", "leaves", "holdout"]
    answer += ["value_to_date", "leads", "definition", "evidence"]
    assert records.columns == answer
    assert records["user_id"].n_unique() == len(records) == 3_000
    fields = [f.name for f in records.schema["intent"].fields[0].dtype.fields]  # type: ignore[attr-defined]
    assert fields == ["probability", "percentile", "tier", "why", "detail", "extrapolated", "model"]
    worth = records["value"].struct.field("spend").struct.unnest()
    assert worth.columns == ["amount", "percentile", "tier", "why", "detail", "extrapolated", "model"]
    assert set(worth["tier"]) == {"high", "medium", "low", "not_enough_to_say"}


def test_score_at_an_earlier_instant(world: World) -> None:
    done = world.run(*PROPENSITY, "score", "--as-of", "2026-01-15T12:00:00Z")
    assert done.returncode == 0, done.stderr
    path = world.settings.folder("demo-shop") / "scores" / "scores-2026-01-15T120000Z.parquet"
    assert 0 < len(pl.read_parquet(path)) < 3_000
    shutil.rmtree(path)


def test_two_scorings_do_not_write_into_one_folder(world: World) -> None:
    with locked(world.settings.folder("demo-shop") / "scores"):
        done = world.run(*PROPENSITY, "score", "--as-of", "2026-01-10")
    assert done.returncode == 2
    assert "another job is writing" in done.stderr


@pytest.mark.parametrize(
    ("command", "answer", "fix"),
    [
        (("check", "-d", "nowhere.yaml"), "cannot read nowhere.yaml", "--definition PATH"),
        (("train", "--outcome", "dance"), "unknown outcome 'dance'", "choose from churn, purchase, uninstall"),
        (("score", "--as-of", "tomorrow"), "--as-of 'tomorrow' is not an instant", "2026-03-01T10:00:00Z"),
        (("score", "--as-of", "2027-01-01"), "--as-of lies after the end of the log", "at or before it"),
        (("check", "--ends", "2020-01-01"), "no event is left", "propensity check"),
        (("train", "--force", " "), "--force without a reason", "say why"),
        (("rollback", "dance"), "unknown outcome 'dance'", "choose from churn, purchase, uninstall"),
        (("rollback", "churn"), "churn has had 1 champions: there is none to go back to", "train a better model"),
    ],
)
def test_a_mistake_is_reported_in_words_without_a_traceback(
    world: World, command: tuple[str, ...], answer: str, fix: str
) -> None:
    done = world.run(*PROPENSITY, *command)
    assert done.returncode == 2
    assert answer in done.stderr
    assert fix in done.stderr
    assert "Traceback" not in done.stderr


def test_a_log_that_is_too_short_is_described_all_the_same(world: World) -> None:
    done = world.run(*PROPENSITY, "check", "--ends", "2025-06-01")
    assert done.returncode == 1
    assert "28d of warm-up" in done.stdout
    assert "longer log" in done.stdout
    assert "The event log" in done.stdout


def test_training_where_every_outcome_is_refused_fails(untrained_world: World, tmp_path: Path) -> None:
    text = (untrained_world.folder / "propensity.yaml").read_text().replace("min_positives: 40", "min_positives: 99000")
    file = untrained_world.folder / "greedy.yaml"
    file.write_text(text)
    environment = untrained_world.environment | {"PROPENSITY_HOME": str(tmp_path)}
    done = run_module("propensity", ["train", "-d", str(file)], environment, ROOT)
    assert done.returncode == 1
    assert done.stdout.count("too_few_positives") == 4


@pytest.mark.long
def test_the_feast_command_works_on_the_generated_repo(world: World) -> None:
    applied = world.run(*PROPENSITY, "feast", "apply")
    assert applied.returncode == 0, applied.stderr
    listed = world.run(*PROPENSITY, "feast", "feature-services", "list")
    assert listed.returncode == 0, listed.stderr
    for name in ("churn_", "purchase_", "uninstall_", "segments", "user_activity", "user_profile"):
        assert name in listed.stdout


def test_the_program_is_installed_under_its_name() -> None:
    program = Path(sys.executable).with_name("propensity")
    done = subprocess.run([program, "--help"], capture_output=True, text=True, check=True)
    for command in ("check", "train", "rollback", "score", "serve", "ui", "feast"):
        assert command in done.stdout
