"""The scorer: one record for batch and API, with an answer for everything it cannot say."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from pydantic import TypeAdapter

from features.definition import Definition
from features.errors import ScoringError
from features.events.log import InMemory
from features.events.write import part_files
from features.feature_store import OnlineProfiles
from features.reading.source import EventLog
from features.rows import FeatureRows
from features.time import DAY, to_datetime
from segments.rfm_cuts import load_cuts
from segments.tiers import TIERS
from serving.model.model import Model
from serving.scoring.batch import score_all
from serving.scoring.earlier.batch import Earlier
from serving.scoring.feature_rows import online_rows
from serving.scoring.record import ScoreRecord
from serving.scoring.scorer import Scorer
from serving.scoring.scores import Scored
from tests.conftest import World


def test_every_user_gets_a_whole_record(scored: Scored, world: World, rows: FeatureRows) -> None:
    records = scored.to_records()
    assert len(records) == len(rows) == 3_000
    for record in records:
        assert record.state in world.definition.states
        assert set(record.intent) == set(world.definition.likelihoods)
        for intent in record.intent.values():
            assert intent.tier in TIERS
            assert (intent.probability is None) == (intent.why is not None) == (intent.tier == "not_enough_to_say")
            assert intent.probability is None or 0 < intent.probability < 1
            assert (intent.percentile is None) == (intent.probability is None)


def test_the_api_says_what_the_batch_says(scorer: Scorer, scored: Scored, world: World, rows: FeatureRows) -> None:
    users = rows.users.to_list()
    found = online_rows(OnlineProfiles(world.definition, world.settings), world.definition, users, int(rows.cutoffs[0]))
    assert not found.missing
    online = scorer.score(found.rows, found.through)
    assert online.records.equals(scored.records)


@pytest.mark.parametrize("kept", ["outcomes", "likelihoods", "amounts"])
def test_json_of_many_says_what_their_records_say(
    world: World, models: Mapping[str, Model], rows: FeatureRows, kept: str
) -> None:
    fewer = {"outcomes": getattr(world.definition, kept), "leads": {}, "segments": {}, "packs": {}}
    definition = world.redefined(**(fewer if kept != "outcomes" else {}))
    answered = {name: model for name, model in models.items() if name in definition.outcomes and name != "uninstall"}
    scorer = Scorer(definition, answered, load_cuts(definition, world.settings))
    written = TypeAdapter(list[ScoreRecord]).dump_json
    for some in (rows, rows.take(np.arange(3)), rows.take(np.arange(0))):
        scored = scorer.score(some, some.cutoffs)
        assert scored.to_json() == written(scored.to_records()).decode()
        for count in (1, 3, 200):
            explained = scorer.explain(scored, count)
            assert scored.to_json(explained.reasons) == written(scored.to_records(explained.reasons)).decode()


def test_one_user_is_scored_like_a_thousand(scorer: Scorer, scored: Scored, rows: FeatureRows) -> None:
    for i in (0, 17, 2_999):
        one = rows.take(np.array([i]))
        alone = scorer.score(one, one.cutoffs).to_records()[0].model_dump()
        among = scored.to_records()[i].model_dump()
        for name, intent in alone["intent"].items():
            assert intent.pop("probability") == pytest.approx(among["intent"][name].pop("probability"), abs=1e-12)
        for name, worth in alone["value"].items():
            assert worth.pop("amount") == pytest.approx(among["value"][name].pop("amount"), abs=1e-9)
        assert alone == among


def test_a_few_users_are_scored_like_all_of_them(
    scorer: Scorer, scored: Scored, world: World, rows: FeatureRows
) -> None:
    users, store = rows.users.to_list(), OnlineProfiles(world.definition, world.settings)
    for lo in range(0, 3_000, 19):
        found = online_rows(store, world.definition, users[lo : lo + 19], int(rows.cutoffs[0]))
        assert np.array_equal(found.rows.matrix, rows.matrix[lo : lo + 19], equal_nan=True)
        few = scorer.score(found.rows, found.through)
        expected = scored.frame[lo : lo + 19].select(few.frame.columns)
        shares = [f"{name}_{rule.answer}" for name, rule in world.definition.outcomes.items()]
        for column in few.frame.drop(shares).columns:
            assert few.frame[column].to_list() == expected[column].to_list(), column
        for name in shares:
            assert few.frame[name].to_list() == pytest.approx(expected[name].to_list(), abs=1e-9)


def named(scored: Scored) -> pl.DataFrame:
    """Predictions beside the features they were made of."""
    return scored.frame.hstack(scored.rows.frame().drop("user", "cutoff"))


def test_percentiles_follow_probabilities(scored: Scored, world: World) -> None:
    for name in world.definition.likelihoods:
        answer = scored.frame.drop_nulls(f"{name}_probability").sort(f"{name}_probability")
        assert answer[f"{name}_percentile"].is_sorted()
        assert answer[f"{name}_percentile"].is_between(0, 100).all()


def test_segments_are_what_their_predicates_say(scored: Scored) -> None:
    frame = named(scored)
    inside = frame.filter(pl.col("segments").list.contains("champion_at_risk"))
    rule = pl.col("rfm_group").is_in(["Champions", "Loyal Users"]) & (pl.col("churn_tier") == "most_likely")
    assert inside.equals(frame.filter(rule))
    abandoned = frame.filter(pl.col("segments").list.contains("cart_abandoned_24h"))
    assert len(abandoned) > 0
    assert (abandoned["days_since_cart_add"] < 1).all()
    assert (
        (abandoned["purchase_count_total"] == 0) | (abandoned["days_since_purchase"] > abandoned["days_since_cart_add"])
    ).all()


def test_the_record_tells_what_a_user_has_been_worth(scored: Scored, world: World) -> None:
    log = pl.read_parquet(world.folder / "data/demo/events/*.parquet").unique("event_id")
    bought = log.filter((pl.col("event") == "purchase") & (pl.col("event_time") < scored.frame["cutoff"][0]))
    by_user = {u: (v, n) for u, v, n in bought.group_by("user_id").agg(pl.col("revenue").sum(), pl.len()).iter_rows()}
    for record in scored.to_records()[:500]:
        assert record.value_to_date is not None
        total, times = by_user.get(record.user_id, (0.0, 0))
        assert record.value_to_date.total == pytest.approx(total)
        assert record.value_to_date.average == (pytest.approx(total / times) if times else None)
        assert (record.value_to_date.every_days is None) or record.value_to_date.every_days > 0
        assert record.leads["ready_to_buy"].points == pytest.approx(
            sum(line.points for line in record.leads["ready_to_buy"].lines)
        )


def test_a_stale_profile_keeps_its_state_and_loses_its_likelihoods(scorer: Scorer, rows: FeatureRows) -> None:
    stale = scorer.score(rows, rows.cutoffs - 4 * DAY)
    assert {r.intent["churn"].why for r in stale.to_records()} == {"stale_profile"}
    fresh = scorer.score(rows, rows.cutoffs - 3 * DAY)
    assert "stale_profile" not in {r.intent["churn"].why for r in fresh.to_records()}
    assert stale.frame["state"].equals(fresh.frame["state"])


def test_a_user_outside_the_population_is_not_scored(scored: Scored) -> None:
    gone = named(scored).filter(pl.col("days_since_visit") >= 28)
    assert (gone["churn_why"] == "outside_population").all()
    assert gone["churn_probability"].null_count() == len(gone)


def test_an_outcome_without_a_model_says_so(world: World, models: Mapping[str, Model], rows: FeatureRows) -> None:
    scorer = Scorer(world.definition, {"churn": models["churn"]}, None)
    record = scorer.score(rows, rows.cutoffs).to_records()[0]
    assert record.intent["purchase"].why == "no_model"
    assert record.intent["purchase"].model is None
    assert record.rfm.group is None, "without cut-offs there are no groups"


def test_short_histories_are_not_judged(world: World, models: Mapping[str, Model], rows: FeatureRows) -> None:
    scorer = Scorer(world.redefined(scoring={"min_history": "7d"}), models, None)
    frame = named(scorer.score(rows, rows.cutoffs)).filter(pl.col("uninstall_why") != "outside_population")
    assert set(frame.filter(pl.col("tenure_days") < 7)["uninstall_why"]) <= {"short_history"}


@pytest.mark.parametrize("change", ["half_lives", "what a signal means"])
def test_another_feature_set_refuses_to_score(world: World, models: Mapping[str, Model], change: str) -> None:
    rules = world.definition.model_dump()
    if change == "half_lives":
        rules["half_lives"] = ["3d"]
    else:
        rules["signals"]["visit"]["where"] = "event = 'app_open'"
    with pytest.raises(ScoringError, match=r"churn/1 was trained on feature set .*train churn again") as refused:
        Scorer(Definition.model_validate(rules), models, None)
    assert refused.value.code == "feature_digest_mismatch"


def test_reasons_are_the_strongest_effects_in_words(
    scorer: Scorer, scored: Scored, models: Mapping[str, Model]
) -> None:
    reasons = {name: found.lists() for name, found in scorer.explain(scored, 3).reasons.items()}
    answer = scored.frame["churn_probability"].is_not_null().to_numpy()
    first = int(np.flatnonzero(answer)[0])
    effects = models["churn"].effects(models["churn"].matrix_of(scored.rows)[answer])[0]
    found = reasons["churn"][first]
    assert len(found) == 3
    assert [abs(r.effect) for r in found] == sorted((round(abs(e), 4) for e in effects), reverse=True)[:3]
    assert all(r.text and "{" not in r.text for r in found)
    assert reasons["churn"][int(np.flatnonzero(~answer)[0])] == [], "no prediction, nothing to explain"


def moved(rows: FeatureRows, at: int, name: str, value: float) -> FeatureRows:
    matrix = rows.matrix.copy()
    matrix[at, rows.features.numeric.index(name)] = value
    return replace(rows, matrix=matrix)


@pytest.mark.parametrize("few", [False, True])
def test_a_user_outside_what_was_learnt_is_scored_as_at_its_end_and_marked(
    scorer: Scorer, rows: FeatureRows, scored: Scored, few: bool
) -> None:
    at, name = int(np.flatnonzero(scored.answered("purchase"))[0]), "cart_add_count_30d"
    most = scorer.models["purchase"].card.ranges
    end = most.highest[scorer.models["purchase"].card.features.index(name)]
    assert end is not None
    far, there = (moved(rows, at, name, value) for value in (1e6, end))
    if few:
        far, there = (r.take(np.array([at])) for r in (far, there))
    answer, same = (
        next(r for r in scorer.score(r, r.cutoffs).to_records() if r.user_id == rows.users[at]).intent["purchase"]
        for r in (far, there)
    )
    assert answer.detail is not None
    assert answer.detail.startswith(f"{name} is 1e+06; fitted on 0 to ")
    assert (answer.extrapolated, same.extrapolated, same.detail) == (name, None, None)
    assert answer.why is None
    assert answer.probability == same.probability


def test_where_too_much_hangs_on_what_was_never_seen_nothing_is_said(
    scorer: Scorer, rows: FeatureRows, scored: Scored
) -> None:
    at = int(np.flatnonzero(scored.answered("purchase"))[0])
    strict = scorer.definition.scoring.model_copy(update={"max_extrapolation": 1e-6})
    definition = scorer.definition.model_copy(update={"scoring": strict})
    careful = Scorer(definition, scorer.models, scorer.rfm)
    far = moved(rows, at, "cart_add_count_30d", 1e6)
    record = next(r for r in careful.score(far, far.cutoffs).to_records() if r.user_id == rows.users[at])
    for intent in record.intent.values():
        assert intent.probability is None
        assert (intent.tier, intent.why) == ("not_enough_to_say", "outside_trained_range")
        assert intent.detail is not None
        assert intent.detail.startswith("cart_add_count_30d is 1e+06; fitted on 0 to ")
        assert intent.extrapolated is None
    assert record.state is not None, "the rule state stays"


def test_a_feature_that_never_was_missing_and_is_now_is_outside(
    models: Mapping[str, Model], rows: FeatureRows, scored: Scored
) -> None:
    model = models["churn"]
    never = next(i for i, m in enumerate(model.card.ranges.missing) if not m and model._used[i])
    matrix = model.matrix_of(rows)[scored.answered("churn")][:3].copy()
    assert (model.outside(matrix, 1.0).column < 0).all()
    matrix[1, never] = np.nan
    assert model.outside(matrix, 1.0).column.tolist() == [-1, never, -1]
    assert "is missing" in model.words_beyond(matrix[1], never)


def test_nearly_everybody_lies_inside(scored: Scored, world: World) -> None:
    for name in world.definition.outcomes:
        assert (scored.frame[f"{name}_why"] == "outside_trained_range").sum() < 0.01 * len(scored.frame)


def test_what_changed_since_the_earlier_scores_is_reported(
    scorer: Scorer, rows: FeatureRows, scored: Scored, world: World, tmp_path: Path
) -> None:
    log = InMemory(EventLog(world.definition).read())
    before = log.ends - 14 * DAY
    score_all(log, scorer, before, tmp_path, reasons=8)
    earlier = Earlier.before(tmp_path, log.ends)
    assert earlier is not None
    assert Earlier.before(tmp_path, before) is None, "scores of the very instant are not earlier"
    changes = scorer.explain(scored, 0, earlier, 3).changes["churn"].lists()
    then = dict(pl.read_parquet(part_files(earlier.path)).select("user_id", "intent").iter_rows())
    columns = [*scorer.models["churn"].card.features, *scorer.models["churn"].card.categories]
    effects = scorer.models["churn"].effects(scorer.models["churn"].matrix_of(rows))
    reported = 0
    for at, (user, change) in enumerate(zip(rows.users, changes, strict=True)):
        if user not in then:
            assert change is None, "who was not scored then has no change"
            continue
        assert change is not None
        assert change.since == to_datetime(before)
        assert change.probability == then[user]["churn"]["probability"]
        assert (change.model or "").startswith("churn/")
        kept = {r["feature"]: r for r in then[user]["churn"]["reasons"]}
        for move in change.moved:
            reported += 1
            now = effects[at, columns.index(move.feature)]
            assert move.effect == pytest.approx(now - kept[move.feature]["effect"], abs=2e-4)
            assert move.before == kept[move.feature]["value"]
            assert f"(before: {kept[move.feature]['text']})" in move.text
        assert [abs(m.effect) for m in change.moved] == sorted((abs(m.effect) for m in change.moved), reverse=True)
    assert reported > 1_000


def test_the_batch_writes_what_the_scorer_says(scorer: Scorer, world: World, tmp_path: Path) -> None:
    log = InMemory(EventLog(world.definition).read())
    score_all(log, scorer, log.ends - 14 * DAY, tmp_path, reasons=8)
    found = score_all(log, scorer, log.ends, tmp_path, reasons=4)
    records = pl.read_parquet(part_files(found.path))
    intent = records["intent"].struct.field("churn")
    answer = intent.struct.field("probability").is_not_null()
    reasons = intent.struct.field("reasons")
    assert reasons.list.len().filter(answer).eq(4).all()
    assert reasons.list.len().filter(~answer).eq(0).all()
    change = intent.struct.field("change")
    assert change.struct.field("since").drop_nulls().unique().to_list() == [to_datetime(log.ends - 14 * DAY)]
    assert change.struct.field("moved").list.len().max() == 4
