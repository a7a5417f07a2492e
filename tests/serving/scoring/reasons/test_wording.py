"""Reasons in words, for every column there is."""

from pathlib import Path

import pytest
import yaml

from features.definition import Definition
from features.definition.columns import feature_set
from features.definition.file.load import load_definition
from features.definition.sections.families import Family
from features.definition.wording import ENGLISH, fields_of, problems
from features.errors import DefinitionError
from serving.scoring.reasons.wording import Wording
from tests.conftest import ROOT

DEMO = load_definition(ROOT / "propensity.yaml").model_dump()
DEMO["features"] = {"families": list(Family)}
DEMO["signals"]["purchase"] |= {"distinct": ["product_id"], "more_values": {"margin": "revenue / 4"}}
DEFINITION = Definition.model_validate(DEMO)
WORDING = Wording(DEFINITION)
FEATURES = feature_set(DEFINITION)


@pytest.mark.parametrize(
    ("feature", "row", "text"),
    [
        ("visit_count_7d", {"visit_count_7d": 17.0}, "17 × visit in the last 7 days"),
        ("visit_count_1d", {"visit_count_1d": 2.0}, "2 × visit in the last day"),
        ("visit_count_7d", {"visit_count_7d": 0.0}, "no visit in the last 7 days"),
        ("visit_count_2h", {"visit_count_2h": 2.0}, "2 × visit in the last 2 hours"),
        ("cart_add_active_days_30d", {"cart_add_active_days_30d": 3.0}, "cart add on 3 of the last 30 days"),
        ("purchase_value_90d", {"purchase_value_90d": 1234.5}, "purchase worth 1,234 in the last 90 days"),
        ("days_since_visit", {"days_since_visit": 9.2}, "last visit 9 days ago"),
        ("days_since_visit", {"days_since_visit": 0.2}, "last visit 5 hours ago"),
        ("days_since_purchase", {"days_since_purchase": None}, "no purchase ever"),
        ("visit_overdue", {"visit_overdue": 3.1, "visit_gap_mean": 2.9}, "no visit for 3.1 times the usual 3 days"),
        ("visit_overdue", {"visit_overdue": None}, "visit on fewer than two days so far"),
        ("visit_trend_7d", {"visit_trend_7d": 0.25}, "visit in the last 7 days at 25 % of those before"),
        ("visit_silence_share", {"visit_silence_share": 0.5}, "no visit for the last 50 % of the time known"),
        ("visit_weekend_share", {"visit_weekend_share": 0.4}, "40 % of visit falls on weekends"),
        ("visit_night_share", {"visit_night_share": 0.4}, "40 % of visit falls on nights"),
        ("tenure_days", {"tenure_days": 64.0}, "Known for 64 days"),
        (
            "days_since_comeback_visit",
            {"days_since_comeback_visit": 2.0},
            "first visit after a long absence 2 days ago",
        ),
        ("purchase_value_largest", {"purchase_value_largest": 80.0}, "the largest purchase was worth 80"),
        (
            "purchase_value_mean_30d",
            {"purchase_value_mean_30d": 20.0},
            "purchase worth 20 on average in the last 30 days",
        ),
        ("purchase_value_mean_30d", {"purchase_value_mean_30d": None}, "no purchase in the last 30 days"),
        ("visit_gap_largest", {"visit_gap_largest": 40.0}, "at most 40 days between two visit days"),
        ("visit_sessions_7d", {"visit_sessions_7d": 4.0}, "4 sessions of visit in the last 7 days"),
        ("visit_session_events", {"visit_session_events": 2.5}, "2.5 × visit in a session"),
        (
            "purchase_distinct_product_id_30d",
            {"purchase_distinct_product_id_30d": 3.0},
            "3 different product id of purchase in the last 30 days",
        ),
        (
            "purchase_distinct_product_id_total",
            {"purchase_distinct_product_id_total": 0.0},
            "0 different product id of purchase in all",
        ),
        ("purchase_margin_30d", {"purchase_margin_30d": 12.0}, "margin of purchase: 12 in the last 30 days"),
        ("purchase_margin_last", {"purchase_margin_last": None}, "no purchase ever"),
        ("cutoff_weekday", {"cutoff_weekday": 2.0}, "day 2 of the week, where Monday is 0"),
        ("platform", {"platform": "ios"}, "platform: ios"),
        ("plan", {"plan": None}, "plan: not known"),
        ("buy_rate", {"buy_rate": 0.031}, "buy rate: 0.031"),
    ],
)
def test_a_reason_reads_like_a_sentence(feature: str, row: dict[str, object], text: str) -> None:
    assert WORDING.say(feature, row) == text


@pytest.mark.parametrize("value", [0.0, 0.37, 1.0, 12.0, 123_456.7, None])
def test_every_column_has_words_for_every_value(value: float | None) -> None:
    row: dict[str, object] = dict.fromkeys(FEATURES.numeric, value) | dict.fromkeys(FEATURES.traits, "x")
    for name in (*FEATURES.numeric, *FEATURES.traits):
        text = WORDING.say(name, row)
        assert text
        assert "{" not in text
        assert "None" not in text


GERMAN = {
    "count": "{n} × {signal} in den letzten {window}",
    "count.none": "kein {signal} in den letzten {window}",
    "days_since": "letzter {signal} vor {days}",
    "overdue": "seit dem {n}-Fachen der üblichen {usual} kein {signal}",
    "other": "{feature} ist {n}",
    "days": "{n} Tagen",
    "name.visit": "Besuch",
    "name.platform": "Plattform",
}


@pytest.mark.parametrize(
    ("feature", "row", "text"),
    [
        ("visit_count_7d", {"visit_count_7d": 17.0}, "17 × Besuch in den letzten 7 Tagen"),
        ("visit_count_7d", {"visit_count_7d": 0.0}, "kein Besuch in den letzten 7 Tagen"),
        ("days_since_visit", {"days_since_visit": 9.2}, "letzter Besuch vor 9 Tagen"),
        (
            "visit_overdue",
            {"visit_overdue": 3.1, "visit_gap_mean": 2.9},
            "seit dem 3.1-Fachen der üblichen 3 Tagen kein Besuch",
        ),
        ("platform", {"platform": "ios"}, "Plattform ist ios"),
        ("purchase_count_total", {"purchase_count_total": 2.0}, "2 × purchase in all"),
    ],
)  # fmt: skip
def test_the_definition_may_say_it_in_other_words(feature: str, row: dict[str, object], text: str) -> None:
    assert Wording(DEFINITION.model_copy(update={"wording": GERMAN})).say(feature, row) == text


@pytest.mark.parametrize(
    ("wording", "answer"),
    [
        ({"cuont": "{n}"}, "wording.cuont: unknown; the families are count"),
        ({"count": "{number} × {signal}"}, "names {number}; it may name days, n, percent"),
        ({"count_total": "{n} in {window}"}, "names {window}; it may name days, n, percent, signal, usual"),
        ({"days_since.missing": "{days}"}, "names {days}; it may name signal"),
        ({"hours": "{signal}"}, "names {signal}; it may name n"),
        ({"count": "{n:x}"}, "names {n}; it may name"),
        ({"count.none.none": "x"}, "wording.count.none.none: unknown"),
        ({"name.vist": "Besuch"}, "name.vist: there is no such signal"),
        ({"count": "{n"}, "wording.count: '{n'"),
    ],
)
def test_words_that_cannot_be_said_are_refused(wording: dict[str, str], answer: str, tmp_path: Path) -> None:
    content = yaml.safe_load((ROOT / "propensity.yaml").read_text()) | {"wording": wording}
    (tmp_path / "p.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    with pytest.raises(DefinitionError) as refused:
        load_definition(tmp_path / "p.yaml")
    assert answer in refused.value.message


@pytest.mark.parametrize("value", [0.0, 0.37, 12.0, None])
def test_every_template_that_is_allowed_can_be_said(value: float | None) -> None:
    """What the definition lets through must not fail when somebody is scored."""
    everything = {key: " ".join(f"{{{field}}}" for field in sorted(fields_of(*_split(key)))) for key in EVERY}
    wording = Wording(DEFINITION.model_copy(update={"wording": everything}))
    assert not problems(everything, set())
    row: dict[str, object] = dict.fromkeys(FEATURES.numeric, value) | dict.fromkeys(FEATURES.traits, "x")
    for name in (*FEATURES.numeric, *FEATURES.traits):
        wording.moved(name, row, "before")


def _split(key: str) -> tuple[str, str]:
    family, _, case = key.partition(".")
    return family, case


EVERY = [f"{f}{case}" for f in ENGLISH if "." not in f for case in ("", ".none", ".missing")]
