"""The report: read without a network, its first words say what the model is good for, its pictures are drawn."""

import json
import re
from pathlib import Path

import mlflow
import pytest

from serving.model.card import Measure
from serving.model.registry.promoted import CHAMPION, registered_name
from tests.conftest import World
from training.evaluation.protocol import protocol_of
from training.report.model_report import CAPTIONS

pytestmark = pytest.mark.xdist_group("model-report")


@pytest.fixture(scope="module")
def run(world: World) -> str:
    mlflow.set_tracking_uri(world.settings.mlflow_uri)
    client = mlflow.MlflowClient(world.settings.mlflow_uri, world.settings.mlflow_uri)
    return str(client.get_model_version_by_alias(registered_name(world.definition, "purchase"), CHAMPION).run_id)


@pytest.fixture(scope="module")
def page(run: str) -> str:
    return str(mlflow.artifacts.load_text(f"runs:/{run}/report.html"))


def test_the_first_screen_says_what_the_model_is_good_for(page: str) -> None:
    body = page[page.index("<main>") :]
    answer = re.search(r'<p class="words">(.*?)</p>', body, re.DOTALL)
    assert answer is not None
    assert re.match(
        r"Calling the top 10 % reaches \d+ % of those who will purchase within 7d \(\d\.\d × random\)\.",
        answer.group(1),
    )
    assert body.index("passes the gate") < body.index("<h2>")


def test_nothing_is_loaded_from_elsewhere(page: str) -> None:
    outside = page[: page.index("<script>")] + page[page.rindex("<script>") :]
    assert not re.search(r"""(src|href)\s*=\s*["'](https?:)?//""", page)
    assert "@import" not in outside
    assert "window.vegaEmbed=" in page, "the library is inside"


def test_every_picture_has_its_place_its_data_and_a_png(page: str, run: str, tmp_path: Path) -> None:
    specs = dict(re.findall(r'vegaEmbed\("#(\w+)", (\{.*?\}), \{actions: false', page, re.DOTALL))
    assert set(specs) == set(CAPTIONS)
    for name, spec in specs.items():
        assert f'<div id="{name}"></div>' in page
        assert any(json.loads(spec)["datasets"].values()), f"{name} has data"
        png = Path(mlflow.artifacts.download_artifacts(f"runs:/{run}/plots/{name}.png", dst_path=str(tmp_path)))
        assert png.read_bytes().startswith(b"\x89PNG")


def test_gate_audit_floors_and_slices_are_in_it(page: str) -> None:
    for answer in ("training-serving parity", "observed over expected", "beats rfm", "label shuffle", "single feature",
                 "nothing found", "BG/NBD", "state: ", "tenure: ", "does not apply", "Judged as of",
                 "Serves a blend of trees and a regression on all columns, fitted through"):  # fmt: skip
        assert answer in page, answer


def test_words_tell_when_the_level_is_off(world: World) -> None:
    from serving.model.registry.loader import Loader

    card = Loader(world.definition, world.settings).champions()["churn"].card
    protocol = protocol_of(world.definition.likelihoods["churn"])
    off = card.model_copy(update={"metrics": card.metrics | {"observed_over_expected": Measure(value=1.31)}})
    assert "come true 1.31 times as often as predicted" in protocol.words(off)
    right = card.model_copy(update={"metrics": card.metrics | {"observed_over_expected": Measure(value=1.01)}})
    assert "those who will not visit within 14d" in protocol.words(right)
    assert "probabilities come true: off by" in protocol.words(right)


def test_words_and_page_name_the_rate_of_the_rows_judged_on(world: World) -> None:
    from serving.model.registry.loader import Loader

    card = Loader(world.definition, world.settings).champions()["churn"].card
    judged = card.slices["test"] | {"rows": 1_000, "positives": 387}
    moved = card.model_copy(update={"base_rate": 0.464, "slices": card.slices | {"test": judged}})
    protocol = protocol_of(world.definition.likelihoods["churn"])
    assert "where 38.7 % do" in protocol.words(moved)
    assert "average precision (base rate 38.7%)" in [words for _, words in protocol.tiles(moved)]
