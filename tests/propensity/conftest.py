"""The command line in this process."""

import pytest

from tests.propensity.programs import Program
from tests.serving.conftest import postgres, postgres_server

__all__ = ["postgres", "postgres_server", "program"]


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Program:
    return Program(monkeypatch, capsys)
