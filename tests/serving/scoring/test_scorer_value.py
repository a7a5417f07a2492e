"""Predicted value in the record: reported, explained, named by segments, and by itself."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from features.events.log import InMemory
from features.events.write import part_files
from features.reading.source import EventLog
from features.rows import FeatureRows
from features.time import DAY
from serving.model.model import Model
from serving.scoring.batch import score_all
from serving.scoring.scorer import Scorer
from serving.scoring.scores import Scored
from tests.conftest import World


def test_the_record_tells_what_a_user_is_expected_to_bring(scored: Scored, models: Mapping[str, Model]) -> None:
    card, reported = models["spend"].card, 0
    for record in scored.to_records():
        answer = record.value["spend"]
        if answer.amount is None:
            assert (answer.tier, answer.percentile) == ("not_enough_to_say", None)
            assert answer.why in {"outside_population", "outside_trained_range"}
            continue
        reported += 1
        assert answer.amount >= 0
        assert answer.model == "spend/1"
        tier = "high" if answer.amount >= card.tiers.most else "low" if answer.amount <= card.tiers.least else "medium"
        assert answer.tier == tier
    assert reported > 500
    assert set(scored.to_records()[0].intent) == {"churn", "purchase", "uninstall"}


def test_amounts_are_explained_as_likelihoods_are(scorer: Scorer, scored: Scored, models: Mapping[str, Model]) -> None:
    reasons, model = scorer.explain(scored, 500).reasons["spend"].lists(), models["spend"]
    answer = np.flatnonzero(scored.answered("spend"))
    amounts = scored.frame["spend_amount"].to_numpy()[answer]
    added = np.array([sum(reason.effect for reason in reasons[at]) for at in answer])
    left = np.log(amounts) - added
    inside = amounts < 0.99 * (model.numbers.calibration.most or np.inf)
    assert left[inside] == pytest.approx(left[0], abs=0.03), "effects add up to the logarithm of the amount"


def test_segments_may_name_amounts_and_value_tiers(
    world: World, models: Mapping[str, Model], rows: FeatureRows
) -> None:
    rule = "spend_tier = 'high' AND spend_amount > 20 AND churn_tier = 'most_likely'"
    definition = world.redefined(segments={"worth_a_call": rule})
    frame = Scorer(definition, models, None).score(rows, rows.cutoffs).frame
    inside = frame["segments"].list.contains("worth_a_call")
    both = (pl.col("spend_tier") == "high") & (pl.col("spend_amount") > 20) & (pl.col("churn_tier") == "most_likely")
    assert inside.to_list() == frame.select(both.fill_null(False)).to_series().to_list()


def test_amounts_may_be_all_that_is_asked(world: World, models: Mapping[str, Model], tmp_path: Path) -> None:
    definition = world.redefined(outcomes=world.definition.amounts, states={}, segments={}, leads={}, packs={})
    scorer = Scorer(definition, {"spend": models["spend"]}, None)
    log = InMemory(EventLog(world.definition).read())
    score_all(log, scorer, log.ends - 14 * DAY, tmp_path, reasons=2)
    found = score_all(log, scorer, log.ends, tmp_path, reasons=2)
    records = pl.read_parquet(part_files(found.path))
    assert "intent" not in records.columns
    answer = records["value"].struct.field("spend").struct.unnest()
    assert answer.filter(pl.col("amount").is_not_null())["reasons"].list.len().eq(2).all()
    assert set(found.states["tier"]) == {"high", "medium", "low", "not_enough_to_say"}
