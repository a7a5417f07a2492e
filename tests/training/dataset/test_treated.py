"""Labels of users who were acted on: held-out users stand for them, or the gate judges their share."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from features.definition import Definition
from features.time import HOUR
from serving.activation.hand_offs import MOVES, HandOffs
from serving.model.card import Procedure
from serving.model.model import Model
from tests.segments.worlds import moving
from tests.serving.activation.scenes import Scene, going_to
from tests.training.datasets import dataset
from training.candidates import serving_model
from training.dataset.dataset import Dataset
from training.dataset.matrices import Matrices
from training.dataset.treated import without_treated
from training.evaluation.gate import treated_labels

SHARE = 0.25
#: what is left of the events of those who are acted on
LEFT = 0.3
#: from this on users are wanted by the destination
RISKY = 0.5


@pytest.fixture
def scene() -> Iterator[Scene]:
    changes = {
        "transitions": {"holdout": SHARE},
        "training": {"min_positives": 40},
        "outcomes": {"churn": {"will_not": "visit", "within": "7d", "among": "days_since_visit < 28"}},
    }
    scene = Scene.set("sqlite://", {"hook": going_to("http://localhost/")}, **changes)
    yield scene
    scene.close()


def acted_on(data: Dataset, held: float = SHARE) -> tuple[Dataset, pl.DataFrame]:
    """The world in which risky users are wanted within each label's window, and acting keeps most of the treated."""
    rows = data.rows
    rng = np.random.default_rng(7)
    out = {user: rng.random() < held for user in rows["user"].unique().sort()}
    rows = rows.with_columns(
        held_out=pl.Series([out[user] for user in rows["user"]]),
        kept=pl.Series(rng.random(len(rows)) > LEFT),
        at=pl.col("cutoff").dt.epoch("us"),
    )
    wanted = rows.filter(pl.col("tenure_days") > RISKY)
    moves = wanted.select(
        "user", moved=pl.col("at") + HOUR, held_out="held_out", share=pl.lit(SHARE), dimension=pl.lit("segments.cart")
    ).cast(dict(MOVES))
    acted = (pl.col("tenure_days") > RISKY) & ~pl.col("held_out") & pl.col("kept")
    rows = rows.with_columns(label=pl.when(acted).then(0).otherwise("label").cast(pl.Int8))
    return replace(data, rows=rows.drop("held_out", "kept", "at")), moves


def fitted(data: Dataset, definition: Definition) -> Model:
    return serving_model(data, Matrices.of(data, definition), definition, Procedure())[0]


def ratio(model: Model, definition: Definition) -> float:
    """Events of risky users whom nobody acts on over those that a model expects: 1 where it is right."""
    fresh = dataset(definition).part("test").filter(pl.col("tenure_days") > RISKY)
    truth = 1 / (1 + np.exp(1 - fresh["tenure_days"].to_numpy()))
    return float(truth.sum() / model.predict(model.matrix(fresh)).sum())


def test_held_out_users_keep_the_model_right_for_those_who_are_left_alone(scene: Scene) -> None:
    data, moves = acted_on(dataset(scene.definition))
    hand_offs = HandOffs(scene.definition, scene.memberships)
    mended, counts = without_treated(data, scene.definition, hand_offs, moves)
    assert counts is not None
    assert counts.replaced
    assert 0.2 < counts.test < 0.3
    assert 0.85 < ratio(fitted(mended, scene.definition), scene.definition) < 1.15
    assert ratio(fitted(data, scene.definition), scene.definition) > 1.4, "it has learnt what acting did"


def test_held_out_rows_stand_for_the_treated(scene: Scene) -> None:
    data, moves = acted_on(dataset(scene.definition))
    mended, counts = without_treated(data, scene.definition, HandOffs(scene.definition, scene.memberships), moves)
    assert counts is not None
    before, after = data.rows, mended.rows
    assert set(after.filter(pl.col("tenure_days") > RISKY)["weight"]) == {1 / SHARE}
    assert set(after.filter(pl.col("tenure_days") <= RISKY)["weight"]) == {1.0}
    wanted = before.filter(pl.col("tenure_days") > RISKY)
    assert len(after) == len(before) - len(wanted) + counts.held_out
    assert after["weight"].sum() == pytest.approx(before["weight"].sum(), rel=0.05), "everybody is stood for"
    treated = len(wanted) - counts.held_out
    shares = [counts.learn * len(data.part("learn")), counts.test * len(data.part("test"))]
    assert sum(shares) == pytest.approx(treated)
    assert after.select("cutoff", "user").equals(after.select("cutoff", "user").sort("cutoff", maintain_order=True))


def test_too_few_held_out_users_change_nothing_and_the_gate_says_so(scene: Scene) -> None:
    data, moves = acted_on(dataset(scene.definition), held=0.02)
    same, counts = without_treated(data, scene.definition, HandOffs(scene.definition, scene.memberships), moves)
    assert same is data
    assert counts is not None
    assert not counts.replaced
    assert 0.2 < counts.test < 0.4
    criterion = treated_labels(counts, scene.definition.gate)
    assert criterion.passed is False
    assert f"{counts.test:.1%} of those judged on" in criterion.found
    assert "at most 20%" in criterion.needed
    assert treated_labels(counts.model_copy(update={"test": 0.19}), scene.definition.gate).passed
    assert treated_labels(counts.model_copy(update={"replaced": True}), scene.definition.gate).passed


def test_moves_outside_the_window_of_a_label_are_nothing_to_it(scene: Scene) -> None:
    data, moves = acted_on(dataset(scene.definition))
    late = moves.with_columns(pl.col("moved") + scene.definition.outcomes["churn"].within * 40)
    same, counts = without_treated(data, scene.definition, HandOffs(scene.definition, scene.memberships), late)
    assert same is data
    assert counts is None


def test_a_definition_that_does_not_set_the_limit_keeps_its_digest() -> None:
    usual, other = moving(), moving(gate={"treated": 0.3})
    assert moving(gate={"treated": 0.2}).digest == usual.digest != other.digest
