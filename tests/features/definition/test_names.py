"""Names of a definition's own cannot collide with ours: they are refused when it is loaded, or they do no harm."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
import yaml

from features.definition import Definition, load_definition
from features.definition.columns import feature_set
from features.definition.names import INTERNAL, RFM_NAMES, VALUE_TO_DATE_COLUMNS
from features.errors import DefinitionError
from features.expressions.values import Texts
from features.rows import rows_of
from serving.scoring.scorer import Scorer
from tests.worlds import DEFINITION
from training.dataset.attach_labels import Labels

OUTCOME = {"will_not": "visit", "within": "14d", "among": "days_since_visit < 28"}
OWN = [
    "churn_probability", "churn_percentile", "churn_tier", "churn_why", "churn_detail", "churn_extrapolated",
    "churn_label", "label_churn",
    "spend_amount", "spend_tier", "warm_points", "warm_lines", *RFM_NAMES, *VALUE_TO_DATE_COLUMNS, *sorted(INTERNAL),
]  # fmt: skip
BASE = DEFINITION | {
    "rfm": {"signal": "visit", "window": "30d", "money": "purchase"},
    "outcomes": {"churn": OUTCOME, "spend": {"sum_of": "purchase", "within": "14d", "among": "days_since_visit < 28"}},
    "leads": {"warm": {"outcome": "churn", "threshold": 1, "points": [{"signal": "visit", "points": 1}]}},
    "states": {"gold": "visit_count_total > 1", "active": "otherwise"},
    "segments": {"golden": "state = 'gold'"},
    "traits": {"path": "t.parquet", "columns": {"user": "u", "known": "k"}, "fields": ["plan"]},
}


def load(folder: Path, **changes: object) -> Definition:
    path = folder / "propensity.yaml"
    path.write_text(yaml.safe_dump(BASE | changes, sort_keys=False))
    return load_definition(path)


def traits(*fields: str) -> dict[str, object]:
    return {"path": "t.parquet", "columns": {"user": "u", "known": "k"}, "fields": list(fields)}


@pytest.mark.parametrize("name", [*OWN, "tenure_days", "visit_count_7d", "plan"])
def test_no_column_takes_a_name_of_ours(tmp_path: Path, name: str) -> None:
    with pytest.raises(DefinitionError, match="is the name of another column"):
        load(tmp_path, derived={name: "visit_count_7d + 1"})
    if name != "plan":
        with pytest.raises(DefinitionError, match="is the name of another column"):
            load(tmp_path, traits=traits("plan", name))


def test_no_two_of_a_kind_make_one_column(tmp_path: Path) -> None:
    with pytest.raises(DefinitionError, match="is the name of another column"):
        load(tmp_path, traits=traits("plan", "plan"))
    signals = DEFINITION["signals"] | {"first_visit": {"where": "event = 'first'"}}  # type: ignore[operator]
    with pytest.raises(DefinitionError, match="'days_since_first_visit', which is the name of another column"):
        load(tmp_path, signals=signals)
    with pytest.raises(DefinitionError, match=r"segments\.everybody"):
        load(tmp_path, segments={"everybody": "visit_count_7d > 1"})


def harmless(definition: Definition) -> None:
    """One user and many get the same answers, and each column is what it is called."""
    features, scorer = feature_set(definition), Scorer(definition, {}, None)
    answer = []
    for count in (1, 21):
        users = pl.Series("user", [f"u{i}" for i in range(count)])
        matrix = np.full((count, len(features.numeric)), 2.0)
        text = {name: Texts.of(["x"] * count) for name in features.traits}
        rows = rows_of(definition, users, np.full(count, 10**15), matrix, text)
        scored = scorer.score(rows, rows.cutoffs)
        assert len(scored.records) == count
        scored.to_json()
        frame = rows.frame()
        assert len(set(frame.columns)) == len(frame.columns)
        answer.append(scored.to_records()[0])
        assert not set(Labels(definition).schema.names()) & set(frame.columns)
    assert answer[0] == answer[1]
    assert answer[0].state == "gold"
    assert "golden" in answer[0].segments


@pytest.mark.parametrize("kind", ["outcomes", "values", "leads", "segments", "states", "signals"])
@pytest.mark.parametrize("name", [*sorted(INTERNAL), "rfm_group", "value_to_date_total", "churn_tier", "otherwise"])
def test_a_name_of_ours_is_refused_or_does_no_harm(tmp_path: Path, kind: str, name: str) -> None:
    value = {"sum_of": "purchase", "within": "14d", "among": "days_since_visit < 28"}
    base: dict[str, dict[str, object]] = BASE  # type: ignore[assignment]
    changes: dict[str, object] = {
        "outcomes": {"outcomes": base["outcomes"] | {name: OUTCOME}},
        "values": {"outcomes": base["outcomes"] | {name: value}},
        "leads": {"leads": base["leads"] | {name: base["leads"]["warm"]}},
        "segments": {"segments": base["segments"] | {name: "visit_count_7d > 1"}},
        "states": {"states": {"gold": "visit_count_total > 1", name: "visit_count_7d > 1", "active": "otherwise"}},
        "signals": {"signals": base["signals"] | {name: {"where": "event = 'x'"}}},
    }[kind]
    try:
        definition = load(tmp_path, **changes)
    except DefinitionError as error:
        if name not in error.message:
            raise
        return
    harmless(definition)


def test_the_list_holds_every_column_of_a_scored_user(tmp_path: Path) -> None:
    definition = load(tmp_path)
    features = feature_set(definition)
    rows = rows_of(
        definition, pl.Series("user", ["u"] * 30), np.full(30, 10**15), np.full((30, len(features.numeric)), 2.0),
        {"plan": Texts.of(["x"] * 30)},
    )  # fmt: skip
    scored = Scorer(definition, {}, None).score(rows, rows.cutoffs)
    for column in {*scored.frame.columns, *scored.records.columns} - {*features.numeric, *features.traits}:
        with pytest.raises(DefinitionError):
            load(tmp_path, derived={column: "visit_count_7d + 1"})


@pytest.mark.parametrize("kind", ["signals", "traits", "derived"])
@pytest.mark.parametrize("name", ["bought_y", "a_y"])
def test_what_feast_would_leave_out_is_refused(tmp_path: Path, kind: str, name: str) -> None:
    changes: dict[str, object] = {
        "signals": DEFINITION["signals"] | {name: {"where": "event = 'x'"}},  # type: ignore[operator]
        "traits": traits("plan", name),
        "derived": {name: "visit_count_7d + 1"},
    }
    with pytest.raises(DefinitionError, match=f"{name}.*Feast leaves out columns that end with '_y'"):
        load(tmp_path, **{kind: changes[kind]})
