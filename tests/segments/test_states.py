"""The demo's default states: exclusive, complete, and by the days of the design."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.definition.file.load import RFM_COLUMNS, load_definition, row_schema
from features.definition.sections.rule import predicates
from features.expressions.program import columns_of
from segments.evaluator import Evaluator
from segments.rfm import GROUPS
from tests.conftest import ROOT

DEFINITION = load_definition(ROOT / "propensity.yaml")
SCHEMA = row_schema(DEFINITION) | RFM_COLUMNS
QUIET = {"visit_count_total": 50.0, "uninstall_count_total": 0.0, "tenure_days": 100.0, "visit_active_days_total": 20.0,
         "visit_overdue": 0.5}  # fmt: skip


def state_of(**values: object) -> str:
    row = pl.DataFrame([QUIET | values], schema_overrides={k: v for k, v in SCHEMA.items() if k in QUIET | values})
    missing = [pl.lit(None, dtype=dtype).alias(name) for name, dtype in SCHEMA.items() if name not in row.columns]
    evaluator = Evaluator(predicates(DEFINITION.states))
    [state] = evaluator.first(columns_of(row.with_columns(missing), evaluator.columns), 1).to_list()
    assert state is not None
    return state


@pytest.mark.parametrize(
    ("values", "state"),
    [
        ({"days_since_visit": 59.99}, "dormant"),
        ({"days_since_visit": 60.0}, "churned"),
        ({"days_since_visit": 1.0, "uninstall_count_total": 1.0, "days_since_uninstall": 0.5}, "churned"),
        ({"days_since_visit": 1.0, "uninstall_count_total": 1.0, "days_since_uninstall": 1.0}, "churned"),
        ({"days_since_visit": 1.0, "uninstall_count_total": 1.0, "days_since_uninstall": 9.0}, "active"),
        ({"days_since_visit": None, "visit_count_total": 0.0}, "churned"),
        ({"days_since_visit": 30.0}, "dormant"),
        ({"days_since_visit": 29.99}, "at_risk"),
        ({"days_since_visit": 8.0}, "at_risk"),
        ({"days_since_visit": 3.0, "visit_overdue": 2.1}, "at_risk"),
        ({"days_since_visit": 1.9, "visit_overdue": 2.1}, "active"),
        ({"days_since_visit": 3.0, "visit_overdue": 2.1, "visit_active_days_total": 3.0}, "active"),
        ({"days_since_visit": 1.0, "days_since_comeback_visit": 1.0}, "resurrected"),
        ({"days_since_visit": 1.0, "days_since_comeback_visit": 6.99}, "resurrected"),
        ({"days_since_visit": 1.0, "days_since_comeback_visit": 7.0}, "active"),
        ({"days_since_visit": 1.0, "visit_count_7d": 4.0, "visit_count_30d": 4.0}, "active"),
        ({"days_since_visit": 1.0, "tenure_days": 7.0}, "new"),
        ({"days_since_visit": 1.0, "rfm_group": "Champions"}, "loyal"),
        ({"days_since_visit": 1.0, "rfm_group": "Loyal Users"}, "loyal"),
        ({"days_since_visit": 1.0, "rfm_group": "Promising"}, "active"),
    ],
)
def test_a_state_begins_and_ends_where_it_should(values: dict[str, object], state: str) -> None:
    assert state_of(**values) == state


days = st.none() | st.floats(0, 400)


@given(days, days, days, days, st.integers(0, 3), st.integers(0, 300), st.none() | st.sampled_from(GROUPS))
def test_every_user_has_exactly_one_state(
    since: float | None,
    overdue: float | None,
    back: float | None,
    tenure: float | None,
    removed: int,
    visits: int,
    group: str | None,
) -> None:
    state = state_of(
        days_since_visit=since, visit_overdue=overdue, days_since_comeback_visit=back, tenure_days=tenure,
        uninstall_count_total=float(removed), visit_count_total=float(visits), rfm_group=group,
    )  # fmt: skip
    assert state in DEFINITION.states
