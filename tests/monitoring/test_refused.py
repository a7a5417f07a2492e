"""Recalibrations that were not promoted are remembered; a damaged file of them is named, with what to do."""

from pathlib import Path

import pytest

from features.errors import StoreError
from features.settings import Settings
from features.time import DAY
from monitoring.recalibration.refused import Refusals, Refused
from tests.worlds import definition_of


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path)


def test_what_was_refused_waits_and_what_was_promoted_does_not(settings: Settings) -> None:
    refusals = Refusals(definition_of(), settings)
    assert refusals.waits("churn", "churn/4", 20_000 * DAY) == ""
    refusals.keep("churn", Refused("churn/4", 100, 20_000 * DAY))
    again = Refusals(definition_of(), settings)
    assert "churn/4 was not promoted" in again.waits("churn", "churn/4", 20_001 * DAY)
    assert again.waits("churn", "churn/5", 20_001 * DAY) == "", "another champion"
    assert again.waits("churn", "churn/4", 20_007 * DAY) == "", "a week later"
    again.keep("churn", None)
    assert again.waits("churn", "churn/4", 20_001 * DAY) == ""


@pytest.mark.parametrize("content", ["", "{", '{"churn": {"version": "churn/4"}}', "[]"])
def test_a_damaged_file_is_named_with_what_to_do(settings: Settings, content: str) -> None:
    folder = settings.monitoring(definition_of().name)
    folder.mkdir(parents=True)
    (folder / "recalibrations.json").write_text(content)
    with pytest.raises(StoreError, match=r"recalibrations\.json cannot be read") as found:
        Refusals(definition_of(), settings).waits("churn", "churn/4", 20_000 * DAY)
    assert "remove" in found.value.fix
