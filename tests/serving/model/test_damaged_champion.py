"""A champion that is damaged, at a start and later, leaves everything else serving."""

import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import mlflow
import pytest

from features.errors import UnavailableError
from features.time import parse_instant
from serving.audience.population import Population
from serving.database.log.live_log import LiveLog
from serving.desk.segment_members import SegmentMembers
from serving.model.registry.loader import Loader
from serving.model.registry.promoted import CHAMPION, registered_name
from serving.process.metrics import REFUSED_MODELS
from serving.scoring.online import Answers
from serving.scoring.record import Intent
from tests.conftest import World
from tests.serving.ingest.asking import CLOCK
from tests.serving.model.damage import cut, remove
from tests.serving.registries import client, files_of, twin_of, with_card, without_digests
from tests.serving.servers import Server

NOW = parse_instant(CLOCK)


def intents(answers: Answers, world: World) -> dict[str, Intent]:
    [record] = answers.score(["u0000001"], NOW, 1).records
    return record.intent


def score(answers: Answers, world: World) -> str | None:
    return intents(answers, world)["purchase"].model


def cut_booster(home: World) -> None:
    cut(files_of(home, "purchase") / "booster.txt")


def remove_card(home: World) -> None:
    remove(files_of(home, "purchase") / "card.json")


def remove_folder(home: World) -> None:
    shutil.rmtree(files_of(home, "purchase"))


def another_outcomes_model(home: World) -> None:
    registry = client(home)
    churn = registry.get_model_version_by_alias(registered_name(home.definition, "churn"), CHAMPION)
    name = registered_name(home.definition, "purchase")
    mlflow.set_tracking_uri(home.settings.mlflow_uri)  # where MLflow looks the source up
    wrong = registry.create_model_version(name, churn.source, churn.run_id)
    registry.set_registered_model_alias(name, CHAMPION, wrong.version)


@pytest.mark.parametrize("harm", [cut_booster, remove_card, remove_folder, another_outcomes_model])
def test_a_champion_that_is_damaged_at_a_start_leaves_the_other_outcomes_serving(
    home: World, harm: Callable[[World], None]
) -> None:
    harm(home)
    answers = Answers(home.definition, home.settings)
    answer = intents(answers, home)
    assert answer["purchase"].why == "model_damaged"
    assert answer["purchase"].model is None
    assert answer["churn"].model == "churn/1"
    assert list(answers.refused) == ["purchase"]
    assert answers.refused["purchase"].startswith("purchase/")
    assert "propensity rollback purchase" in answers.refused["purchase"]
    assert "purchase" not in {model.outcome for model in answers.models()}


def test_a_champion_of_another_feature_set_leaves_the_other_outcomes_serving(home: World) -> None:
    with_card(home, "purchase", feature_digest="0" * 8)
    answers = Answers(home.definition, home.settings)
    assert intents(answers, home)["purchase"].why == "feature_digest_mismatch"
    assert intents(answers, home)["churn"].model == "churn/1"


def test_a_champion_damaged_at_a_start_is_taken_up_when_mended(home: World) -> None:
    booster = files_of(home, "purchase") / "booster.txt"
    content = booster.read_bytes()
    cut(booster)
    answers = Answers(home.definition, home.settings)
    assert not any(answers.refresh() for _ in range(5))
    booster.write_bytes(content)
    assert any(answers.refresh() for _ in range(8))
    assert score(answers, home) == "purchase/1"
    assert answers.refused == {}


def test_nobody_is_in_a_segment_that_rests_on_a_damaged_model(home: World) -> None:
    cut_booster(home)
    answers = Answers(home.definition, home.settings)
    assert "first_purchase_ready" in answers.silent
    live = LiveLog.open(home.definition, home.settings)
    try:
        members = SegmentMembers(answers, live, Population(home.definition, home.settings))
        with pytest.raises(UnavailableError, match="rests on purchase, which has no model now") as caught:
            members.page("first_purchase_ready", NOW, after="", limit=10)
        assert caught.value.code == "no_model"
    finally:
        live.close()


@pytest.mark.long
def test_a_server_started_beside_a_damaged_champion_is_ready_and_says_why(home: World, tmp_path: Path) -> None:
    cut_booster(home)
    server = Server(home, tmp_path / "log", PROPENSITY_AUTH="off", PROPENSITY_CLOCK=CLOCK)
    try:
        ready = server.ready().client.get("/readyz")
        assert "booster.txt has SHA-256" in ready.json()["degraded"]["purchase"]
        assert "propensity rollback purchase" in ready.json()["degraded"]["purchase"]
        [record] = server.client.post("/score", json={"user_ids": ["u0000001"]}).json()["records"]
        assert record["intent"]["purchase"]["why"] == "model_damaged"
        assert record["intent"]["churn"]["model"] == "churn/1"
        assert server.client.get("/segments/first_purchase_ready/users").status_code == 503
        assert "champion purchase/1 cannot be served" in server.log.read_text()
        assert "purchase/1 cannot be loaded" in server.log.read_text()
    finally:
        server.stop()


def test_a_damaged_champion_leaves_the_old_one_serving_and_is_taken_up_when_mended(
    home: World, caplog: pytest.LogCaptureFixture
) -> None:
    answers = Answers(home.definition, home.settings)
    booster = files_of(home, "purchase") / "booster.txt"
    content = booster.read_bytes()
    version = f"purchase/{twin_of(home, 'purchase')}"
    cut(booster)
    with caplog.at_level(logging.ERROR, "propensity"):
        assert not any(answers.refresh() for _ in range(5))
    refused = f"champion {version} cannot be served, purchase/1 is served instead"
    assert caplog.text.count(refused) == 1, "it is logged once"
    assert REFUSED_MODELS.labels("purchase", version)._value.get() == 1
    assert score(answers, home) == "purchase/1"
    booster.write_bytes(content)
    assert any(answers.refresh() for _ in range(4)), "what was refused is tried again"
    assert score(answers, home) == version
    assert REFUSED_MODELS.labels("purchase", version)._value.get() == 0


def test_another_model_of_the_same_number_is_taken_up(home: World) -> None:
    """As when a registry is restored from a backup, or made again, under a running service."""
    answers = Answers(home.definition, home.settings)
    before = cards(answers)
    with_card(home, "purchase", words="Another model of that number.")
    assert answers.refresh()
    assert cards(answers) == before | {"purchase": "Another model of that number."}
    assert score(answers, home) == "purchase/1"
    assert not answers.refresh(), "it is loaded once"
    with_card(home, "purchase", words=before["purchase"])
    assert answers.refresh()
    assert cards(answers) == before


def test_another_model_of_the_same_number_that_is_damaged_leaves_the_old_one_serving(home: World) -> None:
    answers = Answers(home.definition, home.settings)
    before = cards(answers)
    with_card(home, "purchase", feature_digest="0" * 8)
    assert not any(answers.refresh() for _ in range(3))
    assert "feature set" in answers.refused["purchase"]
    assert cards(answers) == before
    digest = answers._served.scorer.models["purchase"].card.feature_digest
    with_card(home, "purchase", words="Mended.", feature_digest=digest)
    assert answers.refresh(), "another card is tried at once"
    assert cards(answers) == before | {"purchase": "Mended."}
    assert answers.refused == {}


def test_models_of_before_there_were_digests_are_reported_by_their_number(home: World) -> None:
    without_digests(home)
    answers = Answers(home.definition, home.settings)
    assert not answers.refresh()
    version = twin_of(home, "purchase")
    assert answers.refresh()
    assert score(answers, home) == f"purchase/{version}"


@pytest.mark.parametrize("error", [RuntimeError("nobody expected this"), MemoryError(), KeyError("digests")])
def test_any_exception_of_a_new_champion_leaves_the_old_one_serving(
    home: World, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    answers = Answers(home.definition, home.settings)
    twin_of(home, "purchase")

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(Loader, "load", fail)
    assert not answers.refresh()
    assert score(answers, home) == "purchase/1"


def test_a_registry_that_goes_away_leaves_what_is_served(home: World) -> None:
    answers = Answers(home.definition, home.settings)
    database = home.settings.home / "mlflow.db"
    away = database.with_suffix(".away")
    os.rename(database, away)
    try:
        assert not answers.refresh()
        assert score(answers, home) == "purchase/1"
        assert not database.exists(), "no empty registry is made"
    finally:
        os.rename(away, database)


def cards(answers: Answers) -> dict[str, str]:
    return {name: model.card.words for name, model in answers._served.scorer.models.items()}
