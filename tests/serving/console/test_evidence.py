"""Evidence about models: reliability, challengers with the gate's verdict, and what came true at a cut-off."""

import json
import re
import threading
import time
from collections.abc import Mapping

import polars as pl
import pytest

from features.errors import UnavailableError
from serving.console.kept.registry import Registry
from serving.console.screens.experiments import expects, light_of
from serving.model.registry.registered import Registered
from serving.published.bins import bins_published
from serving.published.experiments import Comparison, PlannedLook, PublishedExperiment
from tests.serving.console.conftest import SCRIPT, Consoled

pytestmark = pytest.mark.xdist_group("console")


def matured(consoled: Consoled) -> pl.DataFrame:
    """The matured predictions of purchases, as the monitor keeps them."""
    folder = consoled.world.settings.monitoring(consoled.world.definition.name) / "matured" / "purchase"
    return pl.concat(pl.read_parquet(file) for file in sorted(folder.glob("*.parquet")))


def drawn(page: str, chart: str) -> list[list[dict[str, object]]]:
    found = re.findall(rf'id="{chart}-\d+">(.*?)</script>', page, re.S)
    return [json.loads(text)["rows"] for text in found]


def test_reliability_of_the_test_is_that_of_training_with_the_table_beside_the_chart(consoled: Consoled) -> None:
    visitor = consoled.visitor("viewer")
    page = visitor.get("/models").text
    charts = drawn(page, "reliability")
    assert len(charts) == len(consoled.world.definition.outcomes)
    for rows in charts:
        test = [row for row in rows if row["of"] == "test"]
        assert len(test) >= 5
        assert all(row["low"] <= row["observed"] <= row["high"] for row in test)  # type: ignore[operator]
        for row in rows:
            assert f"{row['predicted']:.3f} {row['observed']:.3f}" in visitor.text


def test_reliability_since_then_is_of_all_matured_untreated_predictions(consoled: Consoled) -> None:
    charts = drawn(consoled.visitor("viewer").get("/models").text, "reliability")
    since = [row for rows in charts for row in rows if row["of"] == "matured"]
    rows = matured(consoled).filter(pl.col("weight") > 0)
    assert sum(int(str(row["rows"])) for row in since) == len(rows) > 100
    seen = sum(float(str(row["observed"])) * int(str(row["rows"])) for row in since)
    assert seen == pytest.approx(rows["label"].sum())


def test_challengers_are_shown_with_what_the_gate_found_and_markup_as_text(consoled: Consoled) -> None:
    visitor = consoled.visitor("viewer")
    page = visitor.get("/models").text
    assert "churn/2" in visitor.text
    assert "The gate held it back: one of 2 criteria failed." in visitor.text
    assert f"needed better than the champion {SCRIPT}; found -1.2% (-3% to +0.5%)" in visitor.text
    assert SCRIPT not in page
    assert "purchase/2" not in visitor.text
    assert visitor.text.count("Every registered version became champion.") == 3
    visitor.get("/models", **{"accept-language": "ko"})
    assert "기준 2개 중 1개 미달" in visitor.text


def test_the_cut_off_shows_what_came_true_above_it_and_of_whom(consoled: Consoled) -> None:
    visitor = consoled.visitor("viewer")
    visitor.get("/cut-off?outcome=purchase&at=0.3")
    rows = matured(consoled).filter(population="left alone")
    above = rows.filter(pl.col("answer") >= 0.3)
    shown = (
        f"{len(above):,} / {len(rows):,} {100 * float(above['answer'].mean() or 0):.1f} % "  # type: ignore[arg-type]
        f"{100 * float(above['label'].mean() or 0):.1f} %"  # type: ignore[arg-type]
    )
    assert shown in visitor.text
    assert "Left alone: had nothing to hand off" in visitor.text
    assert "What came true from 0.300 on" in visitor.text


def test_a_moved_slider_is_answered_with_what_came_true_alone(consoled: Consoled) -> None:
    visitor = consoled.visitor("viewer")
    answer = visitor.get("/cut-off?outcome=purchase&at=0.3", **{"x-fragment": "1"})
    assert "What came true from 0.300 on" in visitor.text
    assert "<html" not in answer.text


def test_an_outcome_of_which_nothing_has_matured_says_so(consoled: Consoled) -> None:
    assert bins_published(consoled.world.settings.monitoring("demo-shop"), "churn") is None
    visitor = consoled.visitor("viewer")
    visitor.get("/cut-off?outcome=churn")
    assert "No predictions of this outcome have matured yet" in visitor.text


class Slow:
    """A registry that answers when it may."""

    def __init__(self) -> None:
        self.may, self.read = threading.Event(), 0
        self.fails = False

    def __call__(self) -> Mapping[str, Registered]:
        self.may.wait(10)
        self.read += 1
        if self.fails:
            raise UnavailableError("away.", fix="wait")
        return {"churn": Registered(str(self.read), "", "", (), ())}


def _until(registry: Registry, champions: str, version: str) -> None:
    for _ in range(100):
        known = registry.known(champions, 9)
        if known is not None and known.outcomes["churn"].champion == version:
            return
        time.sleep(0.02)
    raise AssertionError(version)


def test_the_registry_is_read_once_for_many_pages_and_again_for_another_champion() -> None:
    slow = Slow()
    slow.may.set()
    registry = Registry(slow)
    for _ in range(20):
        known = registry.known("churn/1", 7)
        assert known is not None
        assert (known.at, known.outcomes["churn"].champion) == (7, "1")
    assert slow.read == 1
    slow.may.clear()
    before = registry.known("churn/2", 8)
    assert before is not None
    assert before.outcomes["churn"].champion == "1", "while it is read, what was known is shown"
    slow.may.set()
    _until(registry, "churn/2", "2")


def test_a_registry_that_does_not_answer_holds_no_page_up_and_leaves_what_was_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("serving.console.kept.registry.PATIENCE", 0.05)
    slow = Slow()
    registry = Registry(slow)
    begun = time.monotonic()
    assert registry.known("churn/1", 7) is None
    assert time.monotonic() - begun < 2
    slow.may.set()
    _until(registry, "churn/1", "1")
    slow.fails = True
    registry.known("churn/2", 8)
    for _ in range(100):
        known = registry.known("churn/2", 8)
        if known is not None and known.error is not None:
            break
        time.sleep(0.02)
    assert known is not None
    assert known.error is not None
    assert known.outcomes["churn"].champion == "1"


def test_experiments_show_what_they_can_show_until_an_effect_may_be_read(consoled: Consoled) -> None:
    visitor = consoled.visitor("viewer")
    page = visitor.get("/experiments").text
    published = json.loads((consoled.world.settings.monitoring("demo-shop") / "experiments.json").read_text())
    power = published["winback"]["power"]
    assert power["inside"] > 100
    assert power["smallest"]["mail"] > 0
    assert f"{power['inside']:,} users; {power['a_day']:.1f} more enter a day" in visitor.text
    for variant, users in power["arms"].items():
        assert re.search(rf'<th scope="row">{variant}</th><td class="right"[^>]*>{users:,}</td>', page)
    assert f"{100 * power['smallest']['mail']:.1f} points" in visitor.text
    assert power["matures"] in visitor.text


def experiment(**more: object) -> PublishedExperiment:
    """A published experiment in which 50 were assigned nothing, and 50 a mail."""
    arm = {"share": 0.5, "assigned": 50, "exposures": {}}
    row = {
        "outcome": "churn", "variant": "mail", "slice": "everybody", "users": 0, "users_nothing": 0, "waiting": 100,
        "shown": False, "reached_share": 0.0,
    }  # fmt: skip
    unknown = dict.fromkeys(set(Comparison.model_fields) - set(row))
    power = {"inside": 9, "a_day": 1.0, "rate": 0.4, "arms": {}, "smallest": {}, "matures": None}
    look = {"users": 0, "matured": 0, "final": False}
    content = {
        "experiment": "x@1", "of": "states.at_risk", "destination": "crm", "starts": "2026-01-01T00:00:00Z",
        "ends": None, "through": "2026-02-01T00:00:00Z", "better": "less churn",
        "variants": {"nothing": arm, "mail": arm}, "both_arms": 0, "words": [], "late": {}, "power": power,
        "balance": {"chi_square": 0.0, "p_value": 1.0, "stop": False}, "rows": [unknown | row],
        "look": dict.fromkeys(PlannedLook.model_fields) | look,
    }  # fmt: skip
    return PublishedExperiment.model_validate(content | more)


@pytest.mark.parametrize(
    ("balance", "assigned", "light"),
    [({"p_value": 0.3}, 50, "good"), ({"p_value": 0.004}, 50, "warn"), ({"p_value": 1e-5, "stop": True}, 50, "bad"),
     ({"p_value": None}, 0, "quiet"), ({"p_value": 0.5}, 4, "quiet"), ({"p_value": 0.5}, 5, "good")],
)  # fmt: skip
def test_the_light_says_whether_the_arms_are_as_planned(balance: dict[str, object], assigned: int, light: str) -> None:
    arm = {"share": 0.5, "assigned": assigned, "exposures": {}}
    one = experiment(balance={"chi_square": None, "stop": False, **balance}, variants={"nothing": arm, "mail": arm})
    assert light_of(one) == light


def test_power_is_shown_only_before_the_effect() -> None:
    before = experiment()
    assert expects(before)
    assert not expects(experiment(power=None)), "a file of before power was published"
    read = [before.rows[0].model_copy(update={"effect": -0.1, "low": -0.2, "high": 0.0})]
    assert not expects(before.model_copy(update={"rows": read}))
