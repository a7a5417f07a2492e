"""A recalibration that was not promoted is not made again each night while the alarm lasts."""

import subprocess
from pathlib import Path
from types import SimpleNamespace

import polars as pl
import pytest

from features.settings import Settings
from features.time import DAY, to_datetime
from monitoring.recalibration.refused import Refusals
from propensity.commands import nightly
from propensity.commands.nightly import Night, _recalibrated
from tests.worlds import definition_of

DEFINITION = definition_of()
END = 400 * DAY


class Nights:
    """Nights with an alarm for the level of churn."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.settings, self.ran = folder, Settings(home=folder), list[str]()
        monkeypatch.setattr(subprocess, "run", self._run)

    def _run(self, command: list[str], **_: object) -> SimpleNamespace:
        self.ran.append(" ".join(command[3:5]))
        return SimpleNamespace(returncode=3)

    def matured(self, users: int, *, version: str = "churn/1") -> None:
        file = self.settings.monitoring(DEFINITION.name) / "matured" / "churn" / f"{100 * DAY}.parquet"
        file.parent.mkdir(parents=True, exist_ok=True)
        pl.DataFrame({"user": [f"u{i}" for i in range(users)]}).with_columns(
            version=pl.lit(version), weight=pl.lit(1.0)
        ).write_parquet(file)

    def refuse(self, version: str = "churn/1", at: int = END) -> None:
        refusals = Refusals(DEFINITION, self.settings)
        refusals.keep("churn", refusals.now("churn", version, at))

    def night(self, *, at: int = END + DAY, version: str = "churn/1") -> Night:
        self.ran.clear()
        night = Night(self.folder / "steps.json")
        content = {"through": to_datetime(at).isoformat()}
        _recalibrated(night, [], content, DEFINITION, self.settings, ["churn"], {"churn": version})
        night.end()
        return night


@pytest.fixture
def nights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Nights:
    assert nightly.subprocess is subprocess
    made = Nights(tmp_path, monkeypatch)
    made.matured(1_000)
    return made


def test_it_is_made_once_and_the_night_says_so(nights: Nights) -> None:
    nights.night()
    assert nights.ran == ["recalibrate churn"], "nothing was refused before"
    nights.refuse()
    [step] = nights.night().steps
    assert nights.ran == []
    assert (step["step"], step["code"]) == ("recalibrate churn", None)
    assert step["skipped"].startswith("a recalibration of churn/1 was not promoted on 1971-02-05")
    assert "1,000 now, 1,000 then" in step["skipped"]


@pytest.mark.parametrize("change", ["more users", "a week later", "another champion", "promoted"])
def test_it_is_made_again_when_something_is_new(nights: Nights, change: str) -> None:
    nights.refuse()
    nights.matured(1_099)
    assert nights.night().steps[0]["code"] is None, "a few more users are the same"
    if change == "more users":
        nights.matured(1_100)
    if change == "promoted":
        Refusals(DEFINITION, nights.settings).keep("churn", None)
    at = END + 7 * DAY if change == "a week later" else END + DAY
    nights.night(at=at, version="churn/2" if change == "another champion" else "churn/1")
    assert nights.ran == ["recalibrate churn"]
