"""A model's files are checked before they are parsed: LightGBM ends the process on a damaged one, or changes scores."""

import json
import logging
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from features.errors import ScoringError
from serving.model.registry.loader import Loader
from serving.model.registry.promoted import CHAMPION, registered_name
from tests.conftest import World
from tests.serving.model.damage import change_a_digit, cut, empty, remove
from tests.serving.registries import client, files_of, twin_of, without_digests
from training.registry import Registry

PROPENSITY = (sys.executable, "-m", "propensity")


CHURN: list[Path] = []


def take_from_churn(path: Path) -> None:
    """The file of another model."""
    path.write_bytes((CHURN[0] / path.name).read_bytes())


@pytest.mark.parametrize("file", ["booster.txt", "numbers.json", "card.json"])
@pytest.mark.parametrize("damage", [cut, change_a_digit, empty, remove, take_from_churn])
def test_a_damaged_file_is_reported_before_it_is_parsed(home: World, file: str, damage: Callable[[Path], None]) -> None:
    CHURN[:] = [files_of(home, "churn")]
    damage(files_of(home, "purchase") / file)
    with pytest.raises(ScoringError, match=f"purchase/1 cannot be loaded: {file}") as caught:
        Loader(home.definition, home.settings).champions()
    assert caught.value.code == "model_damaged"
    assert "propensity rollback purchase" in caught.value.fix


def test_all_files_of_another_model_are_reported(home: World) -> None:
    for path in files_of(home, "churn").iterdir():
        (files_of(home, "purchase") / path.name).write_bytes(path.read_bytes())
    with pytest.raises(ScoringError, match=r"purchase/1 cannot be loaded: card\.json has SHA-256"):
        Loader(home.definition, home.settings).load("purchase", "1")


def test_a_card_whose_digests_were_edited_along_is_reported(home: World) -> None:
    card = files_of(home, "purchase") / "card.json"
    content = json.loads(card.read_text())
    change_a_digit(files_of(home, "purchase") / "booster.txt")
    card.write_text(json.dumps(content | {"digests": {}}))
    with pytest.raises(ScoringError, match=r"card\.json has SHA-256"):
        Loader(home.definition, home.settings).load("purchase", "1")


def test_a_score_tells_a_damaged_model_and_leaves_what_was_there(home: World) -> None:
    cut(files_of(home, "purchase") / "booster.txt")
    scores = home.settings.scores("demo-shop")
    before = sorted(scores.rglob("*")) if scores.exists() else []
    done = home.run(*PROPENSITY, "score")
    assert done.returncode == 2, done.stderr
    assert "model_damaged purchase/1 cannot be loaded: booster.txt has SHA-256" in done.stderr
    assert "Traceback" not in done.stderr
    assert (sorted(scores.rglob("*")) if scores.exists() else []) == before


def test_rollback_takes_back_a_damaged_champion_but_never_to_a_damaged_one(home: World) -> None:
    registry, name = Registry(home.definition, home.settings), registered_name(home.definition, "purchase")
    version = twin_of(home, "purchase")
    client(home).set_registered_model_tag(name, "champions", f"1 {version}")
    booster = files_of(home, "purchase") / "booster.txt"  # of both versions
    content = booster.read_bytes()
    cut(booster)
    with pytest.raises(ScoringError, match="purchase/1 cannot be loaded"):
        registry.rollback("purchase", "")
    assert str(client(home).get_model_version_by_alias(name, CHAMPION).version) == version
    booster.write_bytes(content)
    assert registry.rollback("purchase", "") == (version, "1")


def test_models_registered_without_digests_are_loaded_and_said_to_be_unchecked(
    home: World, caplog: pytest.LogCaptureFixture
) -> None:
    without_digests(home)
    with caplog.at_level(logging.WARNING, "propensity"):
        assert Loader(home.definition, home.settings).load("purchase", "1").card.outcome == "purchase"
    assert "purchase/1 was registered without digests: its files are not checked" in caplog.text


@pytest.mark.parametrize("damage", [cut, empty, remove])
def test_an_unchecked_booster_that_is_damaged_is_reported_without_ending_the_process(
    home: World, damage: Callable[[Path], None]
) -> None:
    without_digests(home)
    damage(files_of(home, "purchase") / "booster.txt")
    with pytest.raises(ScoringError, match=r"purchase/1 cannot be loaded: booster\.txt"):
        Loader(home.definition, home.settings).load("purchase", "1")


def test_a_version_that_is_a_model_of_another_outcome_is_refused(home: World) -> None:
    registry = client(home)
    churn = registry.get_model_version_by_alias(registered_name(home.definition, "churn"), CHAMPION)
    wrong = registry.create_model_version(registered_name(home.definition, "purchase"), churn.source, churn.run_id)
    with pytest.raises(ScoringError, match=f"purchase/{wrong.version} in the registry is a model of churn"):
        Loader(home.definition, home.settings).load("purchase", str(wrong.version))
