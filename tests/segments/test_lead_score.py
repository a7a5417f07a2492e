"""Lead scores: points that add up, fade, stop at a cap, and tell what they are for."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from features.definition import Definition, load_definition
from features.definition.columns import feature_set
from features.errors import DefinitionError
from features.expressions.program import columns_of
from segments.lead_score import LINE, Leads, Lines
from tests.worlds import DEFINITION, definition_of

POINTS = [
    {"signal": "cart_add", "points": 10, "half_life": "14d", "max_points": 40},
    {"signal": "visit", "points": 2, "within": "7d"},
    {"signal": "purchase", "points": -5, "max_points": -8},
    {"when": "state = 'new'", "points": 7, "about": "new here"},
]
LEAD = {"ready": {"outcome": "churn", "threshold": 20, "points": POINTS}}
COLUMNS = ("cart_add_decayed_14d", "visit_count_7d", "purchase_count_total")


def given_points(row: dict[str, object]) -> tuple[float, list[tuple[str, float | None, float]]]:
    frame = pl.DataFrame([row], schema_overrides=dict.fromkeys(COLUMNS, pl.Float64) | {"state": pl.String})
    points, lines = leads_of(LEAD, frame)
    return points[0], [(line["what"], line["times"], line["points"]) for line in lines[0]]


def leads_of(rules: dict[str, object], frame: pl.DataFrame) -> tuple[list[float], list[list[dict[str, Any]]]]:
    leads = Leads(definition_of(leads=rules).leads)
    points, lines = leads.of(columns_of(frame, leads.columns), len(frame)).values()
    assert isinstance(lines, Lines)
    assert lines.to_series().to_list() == lines.to_list()
    assert lines.to_series().dtype == pl.List(LINE)
    return points.tolist(), lines.to_list()


def test_points_add_up_and_say_what_they_are_for() -> None:
    points, lines = given_points(dict(zip(COLUMNS, (1.5, 3.0, 1.0), strict=True)) | {"state": "new"})
    assert points == 15 + 6 - 5 + 7
    assert lines == [
        ("cart_add, fading over 14d: 10 each, at most 40", 1.5, 15.0),
        ("visit in the last 7d: 2 each", 3.0, 6.0),
        ("purchase: -5 each, at most -8", 1.0, -5.0),
        ("new here", None, 7.0),
    ]


def test_points_stop_at_their_cap_and_what_gave_none_is_not_told() -> None:
    points, lines = given_points(dict(zip(COLUMNS, (9.0, 0.0, 4.0), strict=True)) | {"state": None})
    assert points == 40 - 8
    assert [line[0].split(",")[0].split(":")[0] for line in lines] == ["cart_add", "purchase"]


@given(st.lists(st.one_of(st.none(), st.floats(0, 50)), min_size=3, max_size=3), st.sampled_from(["new", "old", None]))
def test_one_user_or_many_get_the_same_points(values: list[float | None], state: str | None) -> None:
    row = dict(zip(COLUMNS, values, strict=True)) | {"state": state}
    overrides = dict.fromkeys(COLUMNS, pl.Float64) | {"state": pl.String}
    crowd = pl.DataFrame([row, *({name: float(i) for name in COLUMNS} | {"state": "x"} for i in range(30))],
                         schema_overrides=overrides)  # fmt: skip
    points, lines = leads_of(LEAD, crowd)
    alone, own = given_points(row)
    assert points[0] == alone
    assert [(line["what"], line["times"], line["points"]) for line in lines[0]] == own


@pytest.mark.parametrize("rows", [0, 3])
def test_points_that_name_no_column_are_given_to_each_row(rows: int) -> None:
    everybody = {"outcome": "churn", "threshold": 1, "points": [{"when": "1 = 1", "points": 3}]}
    frame = pl.DataFrame({"state": ["new"] * rows}, schema={"state": pl.String})
    points, lines = leads_of({"all": everybody}, frame)
    assert points == [3.0] * rows
    assert lines == [[{"what": "1 = 1", "times": None, "points": 3.0}]] * rows


def load(folder: Path, line: dict[str, object], outcome: str = "churn") -> Definition:
    leads = {"ready": {"outcome": outcome, "threshold": 20, "points": [line]}}
    (folder / "d.yaml").write_text(yaml.safe_dump(DEFINITION | {"leads": leads}, sort_keys=False))
    return load_definition(folder / "d.yaml")


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ({"points": 1}, "say exactly one of 'signal' and 'when'"),
        ({"signal": "visit", "when": "1 = 1", "points": 1}, "say exactly one of 'signal' and 'when'"),
        ({"when": "tenure_days > 1", "points": 1, "max_points": 5}, "go with 'signal'"),
        ({"signal": "visit", "points": 5, "max_points": 3}, "one time already gives 5"),
        ({"signal": "visit", "points": 1, "half_life": "3d"}, "yields no visit_decayed_3d. Fix: it yields visit_count"),
        ({"signal": "visits", "points": 1}, "yields no visits_count_total. Fix: signals are visit"),
        ({"when": "churn_tier = 'most_likely'", "points": 1}, "unknown column 'churn_tier'"),
        ({"when": "tenure_days", "points": 1}, "is not a yes/no question"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, line: dict[str, object], answer: str) -> None:
    with pytest.raises(DefinitionError) as found:
        load(tmp_path, line)
    assert answer in str(found.value)


def test_a_lead_is_about_an_outcome() -> None:
    with pytest.raises(ValidationError, match="the outcomes are churn"):
        definition_of(leads={"ready": LEAD["ready"] | {"outcome": "sale"}})


def test_leads_are_no_features_and_segments_may_name_them(tmp_path: Path) -> None:
    plain = definition_of()
    with_leads = definition_of(leads=LEAD, segments={"hot": "ready_points >= 20"})
    assert feature_set(plain).digest == feature_set(with_leads).digest
    written = DEFINITION | {"leads": LEAD, "segments": {"hot": "ready_points >= 20"}, "states": {"new": "otherwise"}}
    (tmp_path / "d.yaml").write_text(yaml.safe_dump(written, sort_keys=False))
    assert load_definition(tmp_path / "d.yaml").segments["hot"].when == "ready_points >= 20"
