"""The audit finds the leaks that are put in, and nothing where there is none."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from features.definition import Definition
from features.errors import RefusalError
from tests.training.datasets import PERIODS, dataset
from tests.worlds import definition_of
from training.dataset.matrices import Matrices
from training.evaluation.leakage import Finding, audit, drifts, refuse


def findings(definition: Definition, knows: float = 0.0, **columns: object) -> dict[str, Finding]:
    """What the audit says of a model that knows the one feature, and the label as far as ``knows``."""
    data = dataset(definition, **columns)
    test = data.part("test")
    answer = test["tenure_days"].to_numpy() + knows * test["label"].to_numpy()
    answers = 1 / (1 + np.exp(-answer))
    return {f.check: f for f in audit(data, Matrices.of(data, definition), definition, answers)}


def test_an_honest_data_set_raises_no_alarm() -> None:
    found = findings(definition_of())
    assert set(found) == {"too_good", "single_feature", "label_shuffle", "label_days", "drift", "base_rate"}
    assert not any(f.alarm for f in found.values())
    refuse(list(found.values()))


def test_a_question_with_one_answer_is_reported_and_fails_nothing() -> None:
    data = dataset(definition := definition_of())
    data = replace(data, previewed=pl.DataFrame({"eligible": [400] * 9, "base_rate": [0.97] * 9}))
    answers = np.linspace(0.1, 0.9, len(data.part("test")))
    found = {f.check: f for f in audit(data, Matrices.of(data, definition), definition, answers)}["base_rate"]
    assert (found.alarm, found.fails, found.text) == (True, False, "97.0% of the answers are yes")


def test_a_model_too_good_to_be_true_fails_the_run() -> None:
    found = findings(definition_of(), knows=4.0)["too_good"]
    assert found.alarm
    assert found.fails
    with pytest.raises(RefusalError, match=r"too_good: AUC \d\.\d{3}") as refused:
        refuse([found])
    assert refused.value.code == "audit_failed"
    assert "audit.accept" in refused.value.fix


def test_one_feature_that_is_the_label_is_named() -> None:
    found = findings(definition_of(), visit_trend_7d=lambda rng, label, name: -label + rng.normal(0, 0.1, 400))
    assert found["single_feature"].fails
    assert "visit_trend_7d alone has AUC 1.000" in found["single_feature"].text, "turned round, it tells as much"


def test_a_trait_that_is_the_label_is_named() -> None:
    definition = definition_of(
        traits={"path": "t.parquet", "columns": {"user": "u", "known": "k"}, "fields": ["status"]}
    )
    leak = findings(definition, status=lambda rng, label, name: np.where(label == 1, "left", "here"))
    assert "status alone" in leak["single_feature"].text
    honest = findings(definition, status=lambda rng, label, name: rng.choice(["a", "b", "c"], 400))
    assert not honest["single_feature"].alarm


def test_a_column_that_tells_the_label_only_in_its_days_is_named() -> None:
    def rises(rng: np.random.Generator, label: np.ndarray, name: str) -> np.ndarray:
        return 1.6 * label + rng.normal(size=400) if name == "test" else rng.normal(size=400)

    found = findings(definition_of(), visit_gap_last=rises)
    assert found["label_days"].alarm
    assert "visit_gap_last" in found["label_days"].text


def test_users_who_were_not_there_a_horizon_before_raise_no_alarm() -> None:
    definition = definition_of()
    reported = lambda rng, label, name: 1.6 * label + rng.normal(size=400) if name == "test" else rng.normal(size=400)  # noqa: E731
    data = dataset(definition, visit_gap_last=reported)
    new = (pl.col("slice") == "test") & (pl.int_range(pl.len()) % 5 > 0)
    noise = pl.Series(np.random.default_rng(8).normal(size=len(data.rows)))
    rows = data.rows.with_columns(
        pl.when(new).then("new " + pl.col("user")).otherwise("user").alias("user"),
        pl.when(new).then("visit_gap_last").otherwise(noise).alias("visit_gap_last"),
    )
    data = replace(data, rows=rows)
    answers = np.linspace(0.1, 0.9, len(data.part("test")))
    found = {f.check: f for f in audit(data, Matrices.of(data, definition), definition, answers)}["label_days"]
    assert (found.alarm, found.text) == (False, "no column tells the label only in its days")


@pytest.mark.parametrize(("spread", "alarm"), [(2.0, False), (20.0, True)])
def test_a_regular_rhythm_explains_a_model_that_is_too_good(spread: float, alarm: bool) -> None:
    found = findings(
        definition_of(),
        knows=8.0,
        days_since_visit=lambda rng, label, name: 25.0 * label + rng.normal(size=400),
        visit_gap_mean=lambda rng, label, name: np.full(400, 30.0),
        visit_gap_std=lambda rng, label, name: np.full(400, spread),
    )["too_good"]
    assert (found.alarm, found.fails) == (alarm, alarm)
    assert ("explained by a regular rhythm: gaps of visit vary by 7% of their mean" in found.text) is not alarm


def test_what_grows_with_the_log_is_no_drift() -> None:
    later = lambda rng, label, name: rng.normal(3.0 * (name == "test"), 1, 400)  # noqa: E731
    found = findings(definition_of(), tenure_days=later, visit_count_total=later, days_since_first_visit=later)
    assert not found["drift"].alarm


def test_a_column_that_moved_is_drift_and_fails_nothing() -> None:
    found = findings(definition_of(), visit_gap_std=lambda rng, label, name: rng.normal(name == "test", 1, 400))
    assert found["drift"].alarm
    assert not found["drift"].fails
    assert "visit_gap_std" in found["drift"].text
    gone = {name: pl.Series([None if name == "test" else 1.0] * 400, dtype=pl.Float64) for name in PERIODS}
    vanished = dataset(definition_of(), visit_gap_std=lambda rng, label, name: gone[name])
    assert next(iter(drifts(vanished, definition_of()))) == "visit_gap_std", "what is missing now has moved too"


def test_an_accepted_check_is_reported_and_fails_nothing() -> None:
    found = findings(definition_of(audit={"accept": ["too_good"]}), knows=4.0)["too_good"]
    assert found.alarm
    assert not found.fails
