"""BG/NBD as a champion: in a shop that is like it, it serves; what it says is the closed form, calibrated."""

import json
from hashlib import sha256
from pathlib import Path

import mlflow
import numpy as np
import polars as pl
import pytest

from features.errors import ScoringError
from features.events.compacted import NONE
from features.reading.source import EventLog
from features.rows import FeatureRows
from features.system.progress import unseen
from features.traits import latest_traits
from serving.model.model import Model
from serving.model.registry.loader import Loader
from serving.model.registry.promoted import CHAMPION, registered_name
from serving.scoring.feature_rows import batch_rows
from serving.scoring.scorer import Scorer
from tests.conftest import World
from tests.serving.registries import client, files_of
from tests.training import bg_nbd_shop
from training.job import Result, train

pytestmark = pytest.mark.xdist_group("bg-nbd")

COLUMNS = ["purchase_active_days_total", "days_since_first_purchase", "days_since_purchase"]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> World:
    bg_nbd_shop.write(folder := tmp_path_factory.mktemp("shop"))
    return World.at(folder)


@pytest.fixture(scope="module")
def result(shop: World) -> Result:
    [result] = train(shop.definition, shop.settings, steps=unseen)
    return result


@pytest.fixture(scope="module")
def model(shop: World, result: Result) -> Model:
    assert result.promoted
    return Loader(shop.definition, shop.settings).champions()["purchase"]


@pytest.fixture(scope="module")
def rows(shop: World) -> FeatureRows:
    events = EventLog(shop.definition).read()
    [found] = batch_rows(
        events, shop.definition, events.ends, latest_traits(shop.definition, events.ends, NONE)
    )  # fmt: skip
    return found


def test_it_serves_where_customers_are_like_it(result: Result, model: Model) -> None:
    assert result.card is not None
    assert result.card.procedure is not None
    assert result.card.procedure.kind == "bg_nbd"
    assert model.booster is None
    assert "Serves BG/NBD, fitted through" in result.card.learnt
    assert {"recency", "rfm", "bg_nbd"} <= set(result.card.baselines)
    part = model.numbers.bg_nbd
    assert part is not None
    r, alpha, a, b = bg_nbd_shop.TRUE
    assert part.customers.r / part.customers.alpha == pytest.approx(r / alpha, rel=0.2), "purchases a day"
    assert part.customers.a / (part.customers.a + part.customers.b) == pytest.approx(a / (a + b), rel=0.25)


def test_report_and_registry_show_it(shop: World, result: Result, model: Model) -> None:
    page = Path(result.report).read_text()
    assert "Serves BG/NBD" in page
    assert "beats recency" in page
    version = client(shop).get_model_version_by_alias(registered_name(shop.definition, "purchase"), CHAMPION)
    run = client(shop).get_run(version.run_id)
    assert run.data.params["kind"] == "bg_nbd"
    assert model.numbers.bg_nbd is not None
    assert float(run.data.params["alpha"]) == pytest.approx(model.numbers.bg_nbd.customers.alpha)
    assert np.isfinite(run.data.metrics["baseline.bg_nbd.log_loss"])


def test_what_it_says_is_the_closed_form_calibrated(model: Model, rows: FeatureRows) -> None:
    part, calibration = model.numbers.bg_nbd, model.numbers.calibration
    assert part is not None
    matrix = model.matrix_of(rows)
    times, first, last = (matrix[:, model.card.features.index(name)] for name in COLUMNS)
    x, T, t_x, p = times - 1, first, first - last, part.customers
    # equations 7 and 8 of the paper, as it writes them
    alive = 1 / (1 + (x > 0) * p.a / (p.b + np.maximum(x, 1) - 1) * ((p.alpha + T) / (p.alpha + t_x)) ** (p.r + x))
    buys = alive * (1 - ((p.alpha + T) / (p.alpha + T + 30)) ** (p.r + x))
    logit = np.log(buys / (1 - buys))
    answer = 1 / (1 + np.exp(-(calibration.slope * logit + calibration.offset)))
    assert np.allclose(model.predict(matrix), answer, rtol=1e-9, atol=1e-12)
    assert (last > 1.01 * max(model.card.ranges.highest[model.card.features.index(COLUMNS[2])] or 0, 0)).any(), (
        "time has gone on since the rows it was fitted on, and so does the formula"
    )


def test_one_user_is_said_the_same_as_many_to_the_last_bit(model: Model, rows: FeatureRows) -> None:
    matrix = model.matrix_of(rows)[:203]
    for size in (1, 2, 3, 7, 16):
        parts = [matrix[i : i + size] for i in range(0, len(matrix), size)]
        assert np.array_equal(np.concatenate([model.predict(part) for part in parts]), model.predict(matrix))
        assert np.array_equal(np.concatenate([model.effects(part) for part in parts]), model.effects(matrix))


def test_effects_add_up_to_the_logit_against_the_average_customer(model: Model, rows: FeatureRows) -> None:
    part, slope = model.numbers.bg_nbd, model.numbers.calibration.slope
    assert part is not None
    matrix = model.matrix_of(rows)
    effects = model.effects(matrix)
    usual = np.zeros((1, matrix.shape[1]))
    usual[0, list(part.columns)] = part.average
    assert np.allclose(effects.sum(axis=1), slope * (model.scores(matrix) - part.score(usual)[0]), atol=1e-9)
    assert {model.card.features[i] for i in np.flatnonzero(np.abs(effects).sum(axis=0))} == set(COLUMNS)
    assert np.allclose(model.effects(usual), 0.0), "the average customer has no reasons"


def test_records_tell_reasons_of_its_columns(shop: World, model: Model, rows: FeatureRows) -> None:
    scorer = Scorer(shop.definition, {"purchase": model}, None)
    scored = scorer.score(rows, rows.cutoffs)
    intents = [record.intent["purchase"] for record in scored.to_records(*scorer.explain(scored, 3))]
    answer = [intent for intent in intents if intent.probability is not None]
    assert len(answer) > 0.9 * len(intents)
    assert {reason.feature for intent in answer for reason in intent.reasons} == set(COLUMNS)
    assert all(intent.model == "purchase/1" for intent in answer)


def test_it_is_saved_and_read_again_and_old_programs_find_no_key_they_do_not_know(
    model: Model, rows: FeatureRows, tmp_path: Path
) -> None:
    digest = model.save(tmp_path)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["card.json", "numbers.json"]
    assert sorted(json.loads((tmp_path / "numbers.json").read_text())) == ["bg_nbd", "calibration", "weight"]
    again = Model.load(tmp_path, model.version, digest)
    matrix = model.matrix_of(rows)
    assert np.array_equal(again.predict(matrix), model.predict(matrix))
    assert again.numbers == model.numbers


@pytest.mark.parametrize(
    "changes",
    [
        {"customers": {"r": -1.0}}, {"customers": {"alpha": 0.0}}, {"customers": {"b": 1e999}}, {"columns": [0, 1]},
        {"columns": [0, 1, 10_000]}, {"columns": [0, 1, -1]}, {"never": None}, {"within": 0.0}, {"promise": "anything"},
    ],
)  # fmt: skip
def test_numbers_that_cannot_be_its_own_do_not_load(model: Model, tmp_path: Path, changes: dict[str, object]) -> None:
    model.save(tmp_path)
    file, card = tmp_path / "numbers.json", tmp_path / "card.json"
    content = json.loads(file.read_text())
    for key, value in changes.items():
        content["bg_nbd"][key] = content["bg_nbd"][key] | value if isinstance(value, dict) else value
    file.write_text(json.dumps(content))
    with pytest.raises(ScoringError, match=r"numbers\.json has SHA-256"):
        Model.load(tmp_path, "purchase/1")
    digests = {"numbers.json": sha256(file.read_bytes()).hexdigest()}
    card.write_text(json.dumps(json.loads(card.read_text()) | {"digests": digests}))
    with pytest.raises(ScoringError, match="purchase/1 cannot be loaded") as caught:
        Model.load(tmp_path, "purchase/1")
    assert caught.value.code == "model_damaged"


def test_both_a_regression_and_bg_nbd_or_neither_do_not_load(model: Model, tmp_path: Path) -> None:
    model.save(tmp_path)
    file, card = tmp_path / "numbers.json", tmp_path / "card.json"
    content = json.loads(file.read_text())
    linear = {"center": [], "scale": [], "flagged": [], "flag_means": [], "weights": [], "intercept": 0.0}
    for changed in (content | {"linear": linear}, {k: v for k, v in content.items() if k != "bg_nbd"}):
        file.write_text(json.dumps(changed))
        digests = {"numbers.json": sha256(file.read_bytes()).hexdigest()}
        card.write_text(json.dumps(json.loads(card.read_text()) | {"digests": digests}))
        with pytest.raises(ScoringError, match="exactly one of 'linear' and 'bg_nbd'"):
            Model.load(tmp_path, "purchase/1")


def test_mlflow_loads_it_without_us(shop: World, model: Model, rows: FeatureRows) -> None:
    mlflow.set_tracking_uri(shop.settings.mlflow_uri)
    mlflow.set_registry_uri(shop.settings.mlflow_uri)
    loaded = mlflow.pyfunc.load_model(f"models:/{registered_name(shop.definition, 'purchase')}@{CHAMPION}")
    matrix = model.matrix_of(rows)[:20]
    frame = pl.DataFrame(matrix, schema=model.card.features).to_pandas()
    assert np.array_equal(loaded.predict(frame), model.predict(matrix))


def test_a_damaged_file_is_reported_by_the_registry(shop: World, model: Model) -> None:
    file = files_of(shop, "purchase") / "numbers.json"
    content = file.read_bytes()
    try:
        file.write_bytes(content.replace(b'"r":', b'"r":1'))
        with pytest.raises(ScoringError, match=r"purchase/1 cannot be loaded: numbers\.json has SHA-256"):
            Loader(shop.definition, shop.settings).champions()
    finally:
        file.write_bytes(content)
