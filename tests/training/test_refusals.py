"""Refusals: each code is met on purpose, says what was found and needed, and stands in the catalogue."""

import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from features.definition import Definition
from features.errors import RefusalError
from features.event_store.store import EventStore
from features.reading.source import EventLog
from features.settings import Settings
from features.time import DAY
from tests.conftest import ROOT, World
from tests.training.outcomes import REFUSALS, quiet
from training.evaluation.population_leak import check_population
from training.job import train

CATALOGUE = (ROOT / "docs" / "reference" / "errors.md").read_text()


def written(pattern: str) -> set[str]:
    """What a pattern finds in our programs."""
    rooms = [ROOT / name for name in ("features", "segments", "serving", "training", "monitoring", "propensity")]
    return {code for room in rooms for file in room.rglob("*.py") for code in re.findall(pattern, file.read_text())}


def test_every_refusal_is_in_the_catalogue_with_a_fix_and_an_example() -> None:
    codes = written(r'RefusalError\(\s*"(\w+)"') | {"feature_digest_mismatch"}
    codes |= {"outcome_never_happens", "outcome_always_happens", "too_few_positives", "too_few_negatives"}
    assert codes >= {"population_empty", "log_too_short", "population_leak", "audit_failed"}
    rows = {line.split("|")[1].strip(" `"): line for line in CATALOGUE.splitlines() if line.startswith("| `")}
    for code in codes:
        assert code in rows, code
        assert len([cell for cell in rows[code].split("|") if cell.strip()]) == 5, "code, found, needed, fix, example"
    assert set(REFUSALS) <= codes


def test_every_other_code_is_in_the_catalogue() -> None:
    codes = written(r'\bcode="(\w+)"') | written(r'\n    code = "(\w+)"')
    assert codes >= {"registry", "model_damaged", "user_id", "live_log"}
    assert {code for code in codes - {"error"} if f"`{code}`" not in CATALOGUE} == set()


def test_a_log_shorter_than_warm_up_and_label_window_is_refused_whole(untrained_world: World, tmp_path: Path) -> None:
    with pytest.raises(RefusalError, match="28d of warm-up and 7d of gap, horizon and maturity") as refused:
        train(
            untrained_world.definition, Settings(home=tmp_path), steps=quiet,
            ends=EventLog(untrained_world.definition).ends - 290 * DAY,
        )  # fmt: skip
    assert refused.value.code == "log_too_short"


def with_status(world: World, folder: Path, *, known_late: bool) -> Definition:
    """The world with a trait that says who is gone in the end: known from the start on (a leak), or when it was so."""
    definition = world.definition
    events = EventLog(definition).read()
    last = np.maximum.reduceat(events.t, events.starts[:-1])
    gone = last < events.ends - 30 * DAY
    known = np.where(gone & known_late, last + 30 * DAY, events.t[events.starts[:-1]])
    table = pl.DataFrame(
        {"user_id": events.users, "known_at": pl.Series(known).cast(pl.Datetime("us", "UTC")),
         "status": np.where(gone, "gone", "active")}
    )  # fmt: skip
    if known_late:
        start = pl.Series(events.t[events.starts[:-1]]).cast(pl.Datetime("us", "UTC"))
        table = pl.concat([table.with_columns(known_at=start, status=pl.lit("active")), table]).unique(
            ["user_id", "known_at"], keep="last"
        )
    table.write_parquet(folder / "status.parquet")
    columns = {"user": "user_id", "known": "known_at"}
    rule = {"will_not": "visit", "within": "14d", "among": "days_since_visit < 90 AND status = 'active'"}
    traits = {"path": str(folder / "status.parquet"), "columns": columns, "fields": ["status"]}
    return world.redefined(traits=traits, outcomes={"churn": rule}, leads={}, states={}, segments={})


def test_a_population_that_knows_the_answer_is_refused(untrained_world: World, tmp_path: Path) -> None:
    definition = with_status(untrained_world, tmp_path, known_late=False)
    log = EventStore.open(EventLog(definition), Settings(home=tmp_path))
    with pytest.raises(RefusalError, match=r"where status = 'active', and to \d+\.\d% where not") as refused:
        check_population(log, definition, "churn", tmp_path / "probe")
    assert refused.value.code == "population_leak"
    assert "status = 'active'" in refused.value.fix


def test_a_condition_on_what_was_known_then_is_no_leak(untrained_world: World, tmp_path: Path) -> None:
    definition = with_status(untrained_world, tmp_path, known_late=True)
    log = EventStore.open(EventLog(definition), Settings(home=tmp_path))
    check_population(log, definition, "churn", tmp_path / "probe")


@pytest.mark.long
def test_a_run_that_fails_its_audit_registers_nothing_and_keeps_its_report(
    untrained_world: World, tmp_path: Path
) -> None:
    import mlflow

    from tests.training.outcomes import CHURN

    settings = Settings(home=tmp_path)
    # an alarm from an AUC that every model reaches
    strict = {"too_good": 0.51}
    definition = untrained_world.redefined(
        outcomes={"churn": CHURN}, leads={}, segments={}, audit=strict, gate={"draws": 100}
    )  # fmt: skip
    [result] = train(definition, settings, steps=quiet)
    assert result.version is None
    assert result.refusal is not None
    assert result.refusal.code == "audit_failed"
    client = mlflow.MlflowClient(settings.mlflow_uri, settings.mlflow_uri)
    assert not client.search_registered_models()
    [run] = client.search_runs([client.get_experiment_by_name("demo-shop/churn").experiment_id])  # type: ignore[union-attr]
    assert run.info.status == "FAILED"
    assert run.data.tags["refusal"] == "audit_failed"
    assert "report.html" in {f.path for f in client.list_artifacts(run.info.run_id)}
