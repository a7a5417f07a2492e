"""Evidence about models: reliability, challengers with the gate's verdict, and what came true at a cut-off."""

import json
import re
import threading
import time
from collections.abc import Mapping

import polars as pl
import pytest

from features.errors import UnavailableError
from serving.console.registry import Registry
from serving.model.registered import Registered
from serving.published.bins import bins_published
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
    monkeypatch.setattr("serving.console.registry.PATIENCE", 0.05)
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
