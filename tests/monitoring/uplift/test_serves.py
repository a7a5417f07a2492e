"""Uplift that serves: in records and segments by the gate's leave, the same in every form, and withdrawn by it."""

import json
import pickle
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import mlflow
import numpy as np
import polars as pl
import pytest
from pydantic import TypeAdapter

from features.definition import load_definition
from features.errors import DefinitionError, ScoringError
from features.events.write import part_files
from features.settings import Settings
from features.system.progress import unseen
from monitoring.uplift.fitted import Judged, criteria_of, fitted
from monitoring.uplift.job import uplift
from monitoring.uplift.tiers import DO_NOT_DISTURB, PERSUADABLE
from segments.rfm_cuts import first_cuts
from segments.tiers import SILENT
from serving.model.registry.loader import Loader
from serving.model.uplift import UpliftModel
from serving.scoring.batch import score_all
from serving.scoring.feature_rows import batch_rows
from serving.scoring.record import ScoreRecord
from serving.scoring.scorer import Scorer
from serving.scoring.scores import Scored
from serving.scoring.served import Served
from tests.monitoring.uplift.test_users import Shop
from tests.worlds import definition_of

SEGMENTS = {"cart": "days_since_cart_add < 1", "moved": "push_uplift_tier = 'persuadable'",
            "leave_alone": "push_uplift < 0"}  # fmt: skip


class Learnt:
    """A shop whose experiment was learnt from, with what the job made of it."""

    def __init__(self, folder: Path) -> None:
        self.shop = Shop(folder, often=0.25, seldom=-0.2)
        self.definition = self.shop.scene.definition.model_copy(
            update={"segments": definition_of(segments=SEGMENTS, **self._rest()).segments}
        )
        self.settings = Settings(home=folder / "var")
        self.judged, _ = self.job()
        self.log = self.shop.read
        [self.rows] = batch_rows(self.log.events, self.definition, self.log.ends, None)
        self.cuts = first_cuts(self.log, self.definition, self.settings)

    def _rest(self) -> dict[str, object]:
        content = self.shop.scene.definition.as_file()
        return {key: value for key, value in content.items() if key not in ("name", "segments")}

    def job(self) -> tuple[Judged, Path]:
        shop = self.shop
        return uplift(
            shop.read, shop.scene.definition, self.settings, shop.scene.memberships, shop.trial, "push", steps=unseen
        )

    @property
    def loader(self) -> Loader:
        return Loader(self.definition, self.settings)

    def scorer(self, models: dict[str, UpliftModel] | None = None) -> Scorer:
        found = self.loader.uplifts() if models is None else models
        return Scorer(self.definition, {}, self.cuts, uplifts=found)

    def scored(self, scorer: Scorer) -> Scored:
        return scorer.score(self.rows, self.rows.cutoffs)


@pytest.fixture(scope="module")
def learnt(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Learnt]:
    made = Learnt(tmp_path_factory.mktemp("learnt"))
    yield made
    made.shop.scene.close()


def test_the_gate_lets_it_serve_and_says_why(learnt: Learnt) -> None:
    assert (learnt.judged.offered, learnt.judged.promoted, learnt.judged.version) == (True, True, "uplift.push/1")
    assert {one.name: one.passed for one in learnt.judged.criteria} == {
        "sample ratio": True, "AUTOC": True, "other variant": None, "saved alike": True,
    }  # fmt: skip
    client = mlflow.MlflowClient(learnt.settings.mlflow_uri)
    version = client.get_model_version_by_alias(f"{learnt.definition.name}-uplift.push", "champion")
    assert version.tags["experiment"] == learnt.shop.trial.id
    assert version.tags["variant"] == "push"


def test_records_of_a_batch_have_it_and_segments_name_it(learnt: Learnt, tmp_path: Path) -> None:
    batch = score_all(learnt.log, learnt.scorer(), learnt.log.ends, tmp_path)
    records = pl.read_parquet(part_files(batch.path))
    cells = records.select("user_id", "segments", pl.col("uplift").struct.field("push")).unnest("push")
    busy = pl.col("user_id").str.slice(1).cast(pl.Int64) % 2 == 0
    moved = pl.col("tier") == PERSUADABLE
    assert cells.filter(busy).select(moved.mean()).item() > 0.6
    assert cells.filter(~busy).select((pl.col("tier") == DO_NOT_DISTURB).mean()).item() > 0.6
    assert set(cells["model"]) == {"uplift.push/1"}
    assert set(cells["variant"]) == {"push"}
    assert cells.select((pl.col("segments").list.contains("moved") == moved).all()).item()
    assert cells.select((pl.col("segments").list.contains("leave_alone") == (pl.col("predicted") < 0)).all()).item()
    assert cells.filter(moved).select((pl.col("low") > 0).all()).item(), "their interval is that of what was seen"
    assert cells.select(pl.col("predicted").is_between(-1, 1).all()).item()


def test_a_record_is_the_same_in_every_form(learnt: Learnt) -> None:
    scored = learnt.scored(learnt.scorer())
    assert TypeAdapter(list[ScoreRecord]).validate_json(scored.to_json()) == scored.to_records()
    assert scored.to_records()[0].uplift["push"].tier != SILENT
    alone = learnt.scorer().score(scored.rows.take(np.array([7])), scored.rows.cutoffs[7:8])
    assert alone.to_records()[0].uplift == scored.to_records()[7].uplift, "one user as a thousand"


def test_users_unlike_those_of_the_experiment_get_no_answer(learnt: Learnt) -> None:
    scorer, scored = learnt.scorer(), learnt.scored(learnt.scorer())
    strange = replace(scored.rows, matrix=scored.rows.matrix * 1_000)
    [one, *_] = scorer.score(strange, strange.cutoffs).to_records()
    assert (one.uplift["push"].predicted, one.uplift["push"].tier) == (None, SILENT)
    assert one.uplift["push"].why == "outside_trained_range"
    assert "moved" not in one.segments
    assert "leave_alone" not in one.segments


def test_without_a_model_nothing_is_known_of_segments_that_name_it(learnt: Learnt) -> None:
    scorer = learnt.scorer({})
    assert scorer.silent == {"moved": ["uplift.push"], "leave_alone": ["uplift.push"]}
    [one, *_] = learnt.scored(scorer).to_records()
    assert (one.uplift["push"].why, one.uplift["push"].model) == ("no_model", None)


@pytest.mark.parametrize(
    ("changes", "why"),
    [({"feature_digest": "0" * 8}, "feature_digest_mismatch"), ({"variant": "mail"}, "other_experiment"),
     ({"better": "less"}, "other_experiment")],
)  # fmt: skip
def test_a_model_of_another_definition_answers_nothing(learnt: Learnt, changes: dict[str, str], why: str) -> None:
    model = learnt.loader.uplifts()["push"]
    scorer = learnt.scorer({"push": replace(model, card=model.card.model_copy(update=changes))})
    [one, *_] = learnt.scored(scorer).to_records()
    assert one.uplift["push"].why == why
    assert "moved" in scorer.silent


def test_a_damaged_model_is_not_read(learnt: Learnt, tmp_path: Path) -> None:
    model = learnt.loader.uplifts()["push"]
    digest = model.save(tmp_path)
    assert UpliftModel.load(tmp_path, "uplift.push/1", digest).card == model.card.model_copy(
        update={"digests": json.loads((tmp_path / "uplift.json").read_text())["digests"]}
    )
    file = tmp_path / "booster-0.txt"
    file.write_bytes(file.read_bytes().replace(b"leaf_value=", b"leaf_value=1 ", 1))
    with pytest.raises(ScoringError, match=r"booster-0\.txt has SHA-256") as no:
        UpliftModel.load(tmp_path, "uplift.push/1", digest)
    assert "propensity uplift push" in str(no.value)


def test_it_travels_to_another_process(learnt: Learnt) -> None:
    scorer = learnt.scorer()
    scored = learnt.scored(scorer)
    travelled = pickle.loads(pickle.dumps(learnt.loader.uplifts()["push"]))  # noqa: S301 - as Spark does
    assert np.array_equal(travelled.predict(scored.rows.matrix), scorer.uplifts["push"].predict(scored.rows.matrix))


def test_mlflow_loads_it_as_any_model(learnt: Learnt) -> None:
    mlflow.set_tracking_uri(learnt.settings.mlflow_uri)
    model = learnt.loader.uplifts()["push"]
    loaded = mlflow.pyfunc.load_model(f"models:/{learnt.definition.name}-uplift.push/1")
    matrix = learnt.scored(learnt.scorer()).rows.matrix[:50]
    frame = pl.DataFrame(matrix, schema=model.card.features).to_pandas()
    assert np.array_equal(loaded.predict(frame), model.predict(matrix))


def test_broken_arms_and_a_weaker_variant_do_not_serve(learnt: Learnt) -> None:
    shop = learnt.shop
    arms, found = shop.learnt()
    model, champion = fitted(found, arms, shop.trial, learnt.definition), learnt.loader.uplifts()["push"]
    lost = shop.assigned.filter((pl.col("variant") == "push") | (pl.int_range(pl.len()) % 5 > 0))
    judged = Judged(found, criteria_of(found, model, arms, lost, shop.trial, champion))
    assert (judged.offered, judged.promoted) == (False, False)
    assert "the arms are not as planned (p 0.0000)" in judged.words
    other = replace(champion, card=champion.card.model_copy(update={"variant": "mail"}))
    judged = Judged(found, criteria_of(found, model, arms, shop.assigned, shop.trial, other))
    assert (judged.offered, judged.promoted) == (True, False), "as good as the other one is not better"


def test_a_service_loads_it_and_drops_it_when_the_gate_withdraws_it(tmp_path: Path) -> None:
    mine = Learnt(tmp_path)
    served = Served(mine.definition, mine.settings)
    assert served.scorer.identities["uplift.push"].startswith("uplift.push/1@")
    assert not served.refresh()
    mine.shop.log = [one for one in mine.shop.log if "purchase" not in one.signals]
    rng = np.random.default_rng(3)
    for user in mine.shop.assigned["user"]:
        if rng.random() < 0.3:
            mine.shop.buy(user, rng)
    (mine.settings.monitoring(mine.definition.name) / "experiments").rename(tmp_path / "frozen")
    judged, written = mine.job()
    assert (judged.offered, judged.version) == (False, "uplift.push/2")
    assert json.loads(written.read_text())["promoted"] is False
    assert mine.loader.promoted_uplifts() == {}
    assert served.refresh()
    assert served.scorer.identities == {}
    client = mlflow.MlflowClient(mine.settings.mlflow_uri)
    withdrawn = client.get_model_version(f"{mine.definition.name}-uplift.push", "1").tags["withdrawn"]
    assert withdrawn.startswith("uplift.push/2: AUTOC")
    mine.shop.scene.close()


def test_check_refuses_uplift_of_no_experiment(learnt: Learnt, tmp_path: Path) -> None:
    with pytest.raises(DefinitionError, match="pull_uplift_tier") as no:
        load_segments(learnt, tmp_path, "pull_uplift_tier = 'persuadable'")
    assert "push_uplift_tier" in str(no.value)
    with pytest.raises(DefinitionError, match="persuadeable"):
        load_segments(learnt, tmp_path, "push_uplift_tier = 'persuadeable'")
    load_segments(learnt, tmp_path, "push_uplift_tier = 'persuadable' AND push_uplift > 0.05")


def load_segments(learnt: Learnt, folder: Path, rule: str) -> None:
    import yaml

    content = learnt.shop.scene.definition.as_file() | {"segments": {"cart": "days_since_cart_add < 1", "mine": rule}}
    (folder / "propensity.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    load_definition(folder / "propensity.yaml")
