"""The command line in this process: what it says and how it ends, without the seconds of a new one."""

import sys
from dataclasses import dataclass

import pytest

from propensity.__main__ import main
from tests.conftest import World


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str


class Program:
    """Runs commands on a world."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch, self._capsys = monkeypatch, capsys

    def __call__(self, world: World, *arguments: str, **environment: str) -> Ended:
        with self._monkeypatch.context() as patch:
            for name, value in (world.environment | environment).items():
                if name.startswith(("PROPENSITY_", "COLUMNS", "MLFLOW_")):
                    patch.setenv(name, value)
            patch.setattr(sys, "argv", ["propensity", *arguments])
            self._capsys.readouterr()
            with pytest.raises(SystemExit) as end:
                main()
        answer = self._capsys.readouterr()
        return Ended(int(end.value.code or 0), answer.out, answer.err)
