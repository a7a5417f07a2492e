"""Commands that read nothing on Spark say so at once, without a connection to it."""

import pytest

from tests.conftest import World
from tests.propensity.programs import Program


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The settings of a Spark that must not be asked."""

    def refuse(*_: object) -> None:
        raise ConnectionError("a Spark is asked for")

    monkeypatch.setattr("features.spark.session.open_session", refuse, raising=False)
    return {"PROPENSITY_ENGINE": "spark", "PROPENSITY_SPARK": "spark://127.0.0.1:9"}


def test_other_commands_do_without_spark(program: Program, untrained_world: World, nowhere: dict[str, str]) -> None:
    assert program(untrained_world, "packs", **nowhere).code == 0
    assert program(untrained_world, "transitions", **nowhere).code == 0
