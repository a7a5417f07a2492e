"""Situations of public reports: states and segments that need no model, from the files of each case."""

import itertools
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from features.definition import load_definition
from features.reading.source import EventLog
from features.time import to_instant
from segments.rfm import RfmCuts
from serving.scoring.feature_rows import batch_rows
from serving.scoring.scorer import Scorer

CASES = Path(__file__).parents[1] / "cases"


@dataclass(frozen=True)
class Called:
    """What a user is called."""

    state: str
    segments: frozenset[str]


def called(case: str | Path) -> dict[str, Called]:
    """Everybody's state and segments where a case's log ends, without any model."""
    definition = load_definition(CASES / case / "propensity.yaml")
    log = EventLog(definition)
    scorer, found = Scorer(definition, {}, None), dict[str, Called]()
    for rows in batch_rows(log.read(), definition, log.ends, None):
        scored = scorer.score(rows, np.full(len(rows), log.ends))
        for record in scored.to_records():
            found[record.user_id] = Called(str(record.state), frozenset(record.segments))
    return found


def test_who_came_back_after_leaving_is_not_churned() -> None:
    found = called("03-cancelled-then-resubscribed")
    assert found["q"].state == "churned"
    assert found["s"].state == "churned", "in the very second of leaving, the leaving counts"
    assert found["r"].state in ("active", "resurrected", "loyal")


def test_a_second_trial_is_a_trial() -> None:
    found = called("13-second-trial")
    inside = {user for user, it in found.items() if "trial_about_to_end" in it.segments}
    assert inside == {"former", "first"}
    assert {user for user, it in found.items() if it.state == "churned"} == {"gone"}


def test_an_emptied_cart_is_not_abandoned() -> None:
    found = called("24-cart-emptied")
    inside = {user for user, it in found.items() if "cart_abandoned_24h" in it.segments}
    assert inside == {"kp"}


def test_who_is_back_is_resurrected_for_a_week() -> None:
    found = called("25-back-after-weeks")
    assert {user for user, it in found.items() if it.state == "resurrected"} == {"two_days", "one_day", "a_month"}
    assert found["weekly"].state == "active"


def test_who_is_resurrected_depends_on_the_absence_and_the_return_alone(tmp_path: Path) -> None:
    """Away for 23 to 29 days is not away; a busy week after the return changes nothing."""
    end = datetime(2026, 3, 1, tzinfo=UTC)
    rows = ["user_id,event,time,amount"]
    resurrected = set()
    for away, since, visits in itertools.product((20, 23, 27, 29, 30, 45, 79), (2, 6, 8), (1, 2, 60)):
        user, back = f"away_{away}_since_{since}_visits_{visits}", end - timedelta(days=since)
        left = back - timedelta(days=away)
        times = [left - timedelta(days=3 * i) for i in range(8)]
        times += [back + i * timedelta(days=since - 1) / visits for i in range(visits)]
        rows += [f"{user},view,{t:%Y-%m-%dT%H:%M:%SZ}," for t in times]
        resurrected |= {user} if away >= 30 and since < 7 else set()
    (tmp_path / "events.csv").write_text("\n".join(rows) + "\n")
    (tmp_path / "propensity.yaml").write_text((CASES / "25-back-after-weeks" / "propensity.yaml").read_text())
    found = called(tmp_path)
    assert {user for user, it in found.items() if it.state == "resurrected"} == resurrected


@pytest.mark.parametrize("case", ["03-cancelled-then-resubscribed", "13-second-trial", "25-back-after-weeks"])
def test_one_user_is_called_as_in_the_batch(case: str) -> None:
    definition = load_definition(CASES / case / "propensity.yaml")
    log, every = EventLog(definition), called(case)
    scorer = Scorer(definition, {}, None)
    for rows in batch_rows(log.read(), definition, log.ends, None):
        for i in range(len(rows)):
            one = rows.take(np.array([i]))
            [record] = scorer.score(one, np.full(1, log.ends)).to_records()
            assert every[record.user_id].state == record.state


def worths(case: str | Path, at: str) -> dict[str, tuple[object, ...]]:
    """What users have been worth at an instant: total, average of an order, and every how many days."""
    definition = load_definition(CASES / case / "propensity.yaml")
    instant = to_instant(datetime.fromisoformat(at))
    scorer, found = Scorer(definition, {}, None), dict[str, tuple[object, ...]]()
    for rows in batch_rows(EventLog(definition, ends=instant).read(), definition, instant, None):
        for record in scorer.score(rows, np.full(len(rows), instant)).to_records():
            worth = record.value_to_date
            found[record.user_id] = (worth.total, worth.average, worth.every_days) if worth else (None,)
    return found


def test_case_01_a_cart_and_its_order_in_one_second() -> None:
    found = called("01-cart-order-same-second")
    inside = {user for user, it in found.items() if "cart_abandoned_24h" in it.segments}
    assert inside == {"b", "c"}


def case_04a(folder: Path, **replaced: str) -> Path:
    """The case, with parts of its files replaced: keys are the names of the files, without what follows the dot."""
    for file in (CASES / "04a-refund-as-own-event").iterdir():
        text = file.read_text()
        before, _, after = replaced.get(file.stem, "").partition(" -> ")
        assert before in text
        (folder / file.name).write_text(text.replace(before, after) if before else text)
    return folder


def test_case_04a_who_was_refunded_has_not_bought_again(tmp_path: Path) -> None:
    found = worths(case := case_04a(tmp_path), "2026-03-01T00:00:00+00:00")
    assert found["x"] == (120.0, 120.0, None), "over the order that stands"
    assert found["y"] == (0.0, None, None)
    assert not {user for user, it in called(case).items() if "repeat_buyer" in it.segments} & {"x", "y"}


def test_case_04a_without_a_rule_refunds_are_amounts_below_0(tmp_path: Path) -> None:
    """Nothing says which order was given back; the value is less, and both are orders."""
    case = case_04a(tmp_path, events=",refund, -> ,purchase,", propensity="    refund: event = 'refund'\n -> ")
    found = worths(case, "2026-03-01T00:00:00+00:00")
    assert (found["x"], found["y"]) == ((120.0, 60.0, 9.0), (0.0, 0.0, None))
    inside = {user for user, it in called(case).items() if "repeat_buyer" in it.segments}
    assert inside & {"x", "y"} == {"x"}


@pytest.mark.parametrize("refund", ["event = 'refund'", "event = 'purchase' AND amount < 0"])
def test_who_gave_everything_back_is_no_repeat_buyer(tmp_path: Path, refund: str) -> None:
    """Nor do orders that were given back count as frequency, in the batch and for one user alike."""
    lives = {
        "all": [(1, 50), (5, 30), (9, -80)],
        "one": [(1, 50), (5, 30), (9, -30)],
        "some": [(1, 50), (5, 30), (8, 30), (9, -30)],
        "none": [(1, 50), (5, 30), (9, -10)],
        "again": [(1, 50), (2, -50), (5, 30), (9, 40)],
    }
    name = "refund" if "refund" in refund else "purchase"
    rows = [f"{user},{'purchase' if worth > 0 else name},2026-02-{day:02d}T10:00:00Z,{worth}\n"
            for user, life in lives.items() for day, worth in life]  # fmt: skip
    case = case_04a(tmp_path, events=f"x,purchase,2026-02-01 -> {''.join(rows)}x,purchase,2026-02-01",
                    propensity=f"refund: event = 'refund' -> refund: {refund}")  # fmt: skip
    rules = (case / "propensity.yaml").read_text().replace("  signal: visit\n", "  signal: purchase\n")
    (case / "propensity.yaml").write_text(rules + "\n".join(["", "  conflicts: {}"]))
    definition, end = load_definition(case / "propensity.yaml"), to_instant(datetime(2026, 3, 1, tzinfo=UTC))
    cuts = RfmCuts(snapshot="test", recency=(2, 8, 21, 24), frequency=(0, 1, 2, 3), money=(0, 10, 20, 40))
    scorer, found = Scorer(definition, {}, cuts), {}
    for rows in batch_rows(EventLog(definition).read(), definition, end, None):
        together = scorer.score(rows, np.full(len(rows), end)).to_records()
        alone = [scorer.score(rows.take(np.array([i])), np.full(1, end)).to_records()[0] for i in range(len(rows))]
        for record, same in zip(together, alone, strict=True):
            assert (same.segments, same.rfm) == (record.segments, record.rfm)
            found[record.user_id] = ("repeat_buyer" in record.segments, record.rfm.f if record.rfm else None)
    assert {user: found[user] for user in lives} == {
        "all": (False, None), "one": (False, 2), "some": (True, 3), "none": (True, 3), "again": (True, 3),
    }  # fmt: skip


def test_case_05_lines_of_an_order_are_one_order(tmp_path: Path) -> None:
    for file in (CASES / "05-order-of-several-rows-one-id").iterdir():
        (tmp_path / file.name).write_text(file.read_text())
    rules = (tmp_path / "propensity.yaml").read_text().replace("    id: order_id\n", "")
    rules = rules.replace("    value: amount\n", "    value: amount\n    order: order_id\n")
    (tmp_path / "propensity.yaml").write_text(rules)
    found = worths(tmp_path, "2026-03-01T00:00:00+00:00")
    assert found["m"] == (136.66, 136.66, None)
    assert found["n"] == (100.0, 100.0, None)


def test_case_07_two_orders_on_one_day_are_no_rhythm() -> None:
    found = worths("07-two-orders-one-day", "2026-03-01T00:00:00+00:00")
    assert found["w"] == (40.0, 20.0, None)
    assert found["v"] == (40.0, 20.0, 10.0)


@pytest.mark.parametrize(("at", "counts"), [("2026-02-24T00:00:00+00:00", False), ("2026-02-26T00:00:00+00:00", True)])
def test_case_10_an_order_counts_from_its_arrival(at: str, counts: bool) -> None:
    assert (99.0 in {worth[0] for worth in worths("10-late-arrival-24", at).values()}) is counts


def test_case_12_a_clock_of_1970_makes_nobody_old() -> None:
    found = called("12-device-clock-1970")
    with_clock = (CASES / "12-device-clock-1970" / "events.csv").read_text().split("\n")
    [user] = {line.split(",")[0] for line in with_clock if ",1970" in line}
    assert found[user].state == "new"


def test_case_08_a_day_is_one_of_new_york(tmp_path: Path) -> None:
    case = CASES / "08-day-of-new-york"
    inside = {user for user, it in called(case).items() if "two_days" in it.segments}
    assert inside & {"eve", "mor"} == {"eve"}
    (tmp_path / "events.csv").write_bytes((case / "events.csv").read_bytes())
    text = (case / "propensity.yaml").read_text()
    (tmp_path / "propensity.yaml").write_text(text.replace("timezone: America/New_York\n", ""))
    inside = {user for user, it in called(tmp_path).items() if "two_days" in it.segments}
    assert inside & {"eve", "mor"} == {"mor"}, "in UTC"


@pytest.mark.parametrize(
    ("timezone", "first"), [("America/New_York", "2026-03-03"), ("Australia/Lord_Howe", "2026-04-01")]
)
def test_ten_evenings_over_a_change_of_clocks_are_ten_days(tmp_path: Path, timezone: str, first: str) -> None:
    """One evening early and one late, so that neither days of UTC nor of 24 hours tell them apart."""
    begins = datetime.fromisoformat(first).replace(tzinfo=ZoneInfo(timezone))
    evenings = [begins + timedelta(days=day, hours=22 if day % 2 else 1) for day in range(10)]
    rows = [f"u,view,{t.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}," for t in evenings]
    (tmp_path / "events.csv").write_text("\n".join(["user_id,event,time,amount", *rows]) + "\n")
    text = (CASES / "08-day-of-new-york" / "propensity.yaml").read_text()
    text = text.replace("America/New_York", timezone).replace("2026-03-01T", "2026-05-01T")
    (tmp_path / "propensity.yaml").write_text(text)
    definition = load_definition(tmp_path / "propensity.yaml")
    log = EventLog(definition)
    [found] = batch_rows(log.read(), definition, log.ends, None)
    row = found.frame().to_dicts()[0]
    assert (row["visit_active_days_total"], row["visit_gap_mean"], row["visit_gap_std"]) == (10, 1.0, 0.0)
