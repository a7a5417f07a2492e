"""Invalid settings are reported by the name of their variable."""

import pytest

from features.errors import SettingsError
from features.settings import Settings


def test_all_wrong_settings_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROPENSITY_ENGINE", "flink" * 200)
    monkeypatch.setenv("PROPENSITY_RATE", "-5")
    with pytest.raises(SettingsError, match="PROPENSITY_RATE is '-5'") as found:
        Settings()
    assert "PROPENSITY_ENGINE is 'flink" in found.value.message
    assert "pydantic" not in str(found.value)
    assert len(str(found.value)) < 1_000


def test_what_is_given_goes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROPENSITY_RATE", "7")
    assert Settings().rate == 7
    assert Settings(rate=8).rate == 8
