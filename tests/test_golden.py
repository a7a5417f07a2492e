"""Golden records: what must not change unnoticed. After a change that is meant: ``python -m tests.test_golden``."""

import json
from pathlib import Path

import numpy as np

from features.definition.columns import feature_set
from features.definition.file.load import load_definition
from features.profile.fold import fold_rows, read_all_at
from features.time import DAY, HOUR
from tests.oracle import Event, feature_row
from tests.worlds import definition_of, events_of

ROOT = Path(__file__).parents[1]
GOLDEN = Path(__file__).parent / "golden.json"

START = 20_000 * DAY
CUTOFF = START + 50 * DAY + 9 * HOUR
LOG = [
    Event(
        "a", START + day * DAY + (day % 5) * 5 * HOUR, ("visit", "purchase") if day % 7 == 3 else ("visit",), 10.5 + day
    )
    for day in (0, 1, 2, 3, 5, 8, 10, 17, 24, 31, 38, 45)
]


def current() -> dict[str, object]:
    """What is so today."""
    definition = definition_of(windows=["6h", 1, 7, 14, 30])
    events = events_of(definition, LOG)
    [rows] = fold_rows(events, read_all_at(events, np.array([CUTOFF])), definition)
    demo = feature_set(load_definition(ROOT / "propensity.yaml"))
    return {
        "demo_feature_set": {"digest": demo.digest, "columns": [*demo.numeric, *demo.traits]},
        "feature_row": {k: v for k, v in rows.frame().to_dicts()[0].items() if k not in ("user", "cutoff")},
    }


def test_features_are_what_they_were() -> None:
    kept, now = json.loads(GOLDEN.read_text()), current()
    assert now["demo_feature_set"] == kept["demo_feature_set"]
    assert now["feature_row"] == kept["feature_row"]


def test_the_golden_row_is_the_oracles() -> None:
    kept = json.loads(GOLDEN.read_text())["feature_row"]
    reported = feature_row(definition_of(windows=["6h", 1, 7, 14, 30]), LOG, "a", CUTOFF)
    assert reported is not None
    for name, value in reported.items():
        assert kept[name] is None if np.isnan(value) else np.isclose(kept[name], value, rtol=1e-9), name


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps(current(), indent=1) + "\n")
