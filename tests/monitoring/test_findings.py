"""What is planted is named, and where nothing is planted nobody is woken."""

import numpy as np
import polars as pl
import pytest

from features.definition.sections.outcome import Outcome
from monitoring.findings import Finding, findings
from monitoring.realised import realised
from tests.monitoring.worlds import WEEK, year
from tests.worlds import definition_of

RULE = definition_of().outcomes["churn"]
NOTHING = pl.DataFrame({"answer": []}, schema={"answer": pl.Float64()})


def named(rows: pl.DataFrame) -> list[Finding]:
    return findings("churn", realised(rows, RULE, NOTHING), None)


def alarms(rows: pl.DataFrame) -> dict[str, int]:
    return realised(rows, RULE, NOTHING).alarms


@pytest.mark.long
def test_a_year_without_a_change_wakes_nobody() -> None:
    """At most 1 % of 200 years, looked at every week, of batches of 250 to 1,000 users."""
    false = [bool(alarms(year(seed, users=(250, 1_000)[seed % 2]))) for seed in range(200)]
    assert sum(false) <= 2


def test_a_level_that_moved_is_named_and_nothing_else_is() -> None:
    found = [named(year(seed, batches=16, level=0.35)) for seed in range(100)]
    assert sum([one.name for one in some] == ["level_moved"] for some in found) >= 95
    [one] = found[0]
    assert one.alarm
    assert "more often than predicted" in one.words


def test_a_ranking_that_got_worse_is_named() -> None:
    """What happens follows the answers half as much: there is nothing a new level would mend."""
    found = [named(year(seed, batches=16, slope=0.5)) for seed in range(100)]
    assert sum("ranking_worse" in [one.name for one in some] for some in found) >= 95
    assert "train again" in found[0][0].action


def test_other_people_with_right_answers_wake_nobody() -> None:
    rows = [pl.concat([year(seed, batches=8), year(seed + 1_000, batches=8, people=0.8).with_columns(
        pl.col("at") + 8 * WEEK)]) for seed in range(100)]  # fmt: skip
    assert sum(not alarms(some) for some in rows) >= 99


def test_a_fifth_more_is_found_within_four_batches_of_a_thousand() -> None:
    """Observed over expected of 1.2."""
    weeks = []
    for seed in range(60):
        rows = year(seed, batches=12, level=0.0)
        draw = np.random.default_rng(seed).random(len(rows))
        more = rows.with_columns(label=(pl.Series(draw) < (pl.col("answer") * 1.2).clip(0, 1)).cast(pl.Float64))
        at = alarms(more).get("level")
        weeks.append(at // WEEK + 1 if at is not None else 99)
    assert np.mean(np.array(weeks) <= 4) >= 0.95
    assert np.median(weeks) <= 2


def test_a_new_champion_begins_anew() -> None:
    wrong = year(1, batches=10, level=0.5, version="churn/1")
    right = year(2, batches=10).with_columns(pl.col("at") + 10 * WEEK)
    assert alarms(wrong)
    found = realised(pl.concat([wrong, right]), RULE, NOTHING)
    assert found.alarms == {}
    assert found.batches["version"].unique().sort().to_list() == ["churn/1", "churn/2"]
    assert found.level is not None
    assert found.level.users == len(right)


def test_holidays_of_earlier_models_make_the_alarm_slower() -> None:
    """Where every batch differs from the others as batches of this log do, a batch that differs as much is no news."""
    rng = np.random.default_rng(5)
    restless = pl.concat([year(i, batches=1, level=float(rng.normal(0, 0.25)), version="churn/1").with_columns(
        pl.col("at") + i * WEEK) for i in range(30)])  # fmt: skip
    later = year(77, batches=2, level=0.2).with_columns(pl.col("at") + 30 * WEEK)
    alone, both = realised(later, RULE, NOTHING), realised(pl.concat([restless, later]), RULE, NOTHING)
    assert both.evidence["level"] < alone.evidence["level"] / 2


def test_those_held_out_stand_for_those_who_were_acted_on() -> None:
    """Acting halves what happens; one in ten is held out, and tells what would have happened."""
    rng, rows = np.random.default_rng(3), year(3, batches=20, users=2_000)
    wanted = rows["answer"] > 0.4
    held = pl.Series(rng.random(len(rows)) < 0.1)
    halved = pl.Series(rng.random(len(rows)) < 0.5)
    rows = rows.with_columns(
        label=pl.when(wanted & ~held & halved).then(0.0).otherwise("label"),
        population=pl.when(~wanted).then(pl.lit("left alone")).when(held).then(pl.lit("held out")).otherwise(
            pl.lit("handed off")),
        weight=pl.when(~wanted).then(1.0).when(held).then(10.0).otherwise(0.0),
    )  # fmt: skip
    found = realised(rows, RULE, NOTHING)
    assert found.alarms == {}
    assert found.level is not None
    assert found.level.ratio == pytest.approx(1, abs=0.06)
    everybody = realised(rows.with_columns(weight=1.0), RULE, NOTHING)
    assert everybody.alarms, "as if nobody had been acted on"
    assert int(found.batches["handed_off"].sum()) == int((rows["population"] == "handed off").sum())


def test_a_batch_in_which_everybody_was_acted_on_says_nothing() -> None:
    rows = year(1, batches=2).with_columns(weight=0.0, population=pl.lit("handed off"))
    found = realised(rows, RULE, NOTHING)
    assert found.level is None
    assert found.batches["observed"].null_count() == 2
    assert named(rows) == []


def test_few_users_a_batch_are_looked_at_together() -> None:
    """A batch of twenty has too few events for a sum of them to be normal."""
    found = realised(year(1, users=20, batches=52), RULE, NOTHING)
    assert len(found.batches) == 52
    assert found.alarms == {}
    assert sum(bool(alarms(year(seed, users=20))) for seed in range(100)) <= 2


def test_amounts_have_totals_and_no_alarm() -> None:
    rule = definition_of(outcomes={"spend": {"sum_of": "purchase", "within": "30d", "among": "tenure_days >= 0"}})
    rng = np.random.default_rng(1)
    rows = year(1, batches=3).with_columns(label=pl.col("answer") * pl.Series(rng.exponential(1, 3_000)))
    found = realised(rows, rule.outcomes["spend"], NOTHING)
    assert found.level is not None
    assert found.level.ratio == pytest.approx(1, abs=0.1)
    assert found.level.low < found.level.ratio < found.level.high
    assert found.line is None
    assert found.alarms == {}
    assert found.batches["normalised_gini"].null_count() == 0


def test_the_answers_promise_what_they_keep_if_they_are_right() -> None:
    rows = year(9, batches=1, users=20_000)
    found = realised(rows, RULE, rows.select("answer"))
    assert isinstance(RULE, Outcome)
    assert found.promised["auc"] == pytest.approx(found.batches["auc"][0], abs=0.01)
    assert found.promised["lift_at_10"] == pytest.approx(found.batches["lift_at_10"][0], abs=0.08)
