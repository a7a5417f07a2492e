"""Invalid settings are reported by the name of their variable."""

import pytest
from pydantic import SecretStr

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


def test_no_secret_and_no_address_that_may_hold_one_goes_to_other_machines() -> None:
    given = Settings(
        token="key-1", oidc_client_secret="key-2", live_log="postgresql://u:key-3@db/x", redis="cache:6379",
        tracking_uri="http://u:key-4@mlflow", oidc_issuer="https://id.example", oidc_client_id="propensity",
        console_url="https://here.example", console_roles='{"marketing": "editor"}',
    )  # fmt: skip
    public = given.public()
    secrets = {name: value for name, value in public if isinstance(value, SecretStr)}
    assert {one.get_secret_value() for one in secrets.values()} == {""}
    assert (public.token, public.oidc_client_secret, public.tracking_uri) == (None, None, "")
    assert (public.redis, public.home) == (given.redis, given.home)
