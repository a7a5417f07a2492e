"""Old scores: removed whole and only when nobody needs them, whatever ends the process in between."""

import shutil
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

from features.events.compacted import NONE
from features.settings import Settings
from features.system.files import durable
from features.time import DAY, to_datetime, to_instant
from monitoring.predictions.batches import Predictions
from monitoring.predictions.old_scores import OldScores
from serving.scoring.earlier.batch import Earlier, scores_path
from tests.worlds import definition_of

DEFINITION = definition_of()
START = 1_000 * DAY
AGES = [470, 420, 410, 100, 10, 0]


class Killed(BaseException):
    """The process ends here."""


class Home:
    """Batches of so many days before the newest, drawn from by the monitor or not."""

    def __init__(self, home: Path, **changes: int) -> None:
        self.settings = Settings(home=home, **changes)
        self.folder = self.settings.scores(DEFINITION.name)
        for age in AGES:
            self.score(age)

    def score(self, age: int) -> None:
        at = START - age * DAY
        path = scores_path(self.folder, at)
        path.mkdir(parents=True)
        answers = [{"churn": {"probability": 0.2, "tier": "least_likely", "model": "churn/1"}}]
        users = [f"u{i}" for i in range(20)]
        pl.DataFrame(
            {"user_id": users, "as_of": to_datetime(at), "state": "active", "intent": answers * 20}
        ).write_parquet(path / "part-0.parquet")

    def monitor(self) -> None:
        oldest = START - 460 * DAY
        Predictions(DEFINITION, self.settings).keep(NONE, oldest)

    @property
    def ages(self) -> list[int]:
        newest = to_datetime(START)
        return [(newest - one.as_of) // timedelta(days=1) for one in Earlier.every(self.folder)]

    def prune(self) -> list[int]:
        OldScores(DEFINITION, self.settings).prune()
        return self.ages


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def test_what_nobody_needs_is_removed_and_what_was_drawn_stays(home: Home) -> None:
    home.monitor()
    drawn = Predictions(DEFINITION, home.settings).batches("churn")
    assert home.prune() == [100, 10, 0]
    assert Predictions(DEFINITION, home.settings).batches("churn") == drawn
    assert len(drawn) == 5, "that of 470 days is too old for the monitor"
    assert home.prune() == [100, 10, 0]


def test_a_batch_that_the_monitor_has_not_seen_stays(home: Home) -> None:
    found = OldScores(DEFINITION, home.settings).prune()
    assert home.ages == [420, 410, 100, 10, 0], "the oldest is passed over by the monitor"
    assert [path.name[7:17] for path in found.needed] == [
        f"{to_datetime(START - age * DAY):%Y-%m-%d}" for age in (420, 410)
    ]
    home.monitor()
    assert home.prune() == [100, 10, 0]


def test_a_batch_whose_outcome_has_not_matured_stays(tmp_path: Path) -> None:
    home = Home(tmp_path, scores_days=5)
    home.monitor()
    assert home.prune() == [10, 0], "churn is known after 14 days, and the second newest stays in any case"
    for age in (12, 16):
        home.score(age)
    home.monitor()
    assert home.prune() == [12, 10, 0]


def test_the_two_newest_stay_and_0_keeps_all(tmp_path: Path) -> None:
    everything = Home(tmp_path / "all", scores_days=0)
    everything.monitor()
    assert everything.prune() == AGES
    few = Home(tmp_path / "few")
    few.monitor()
    for age in AGES[1:-1]:
        shutil.rmtree(scores_path(few.folder, START - age * DAY))
    assert few.prune() == [470, 0]


@pytest.mark.parametrize("dies_in", ["flush", "rmtree"])
@pytest.mark.parametrize("at", [1, 2])
def test_killed_half_way_each_batch_is_whole_or_gone(
    home: Home, monkeypatch: pytest.MonkeyPatch, dies_in: str, at: int
) -> None:
    home.monitor()
    calls, original = [0], getattr(durable if dies_in == "flush" else shutil, dies_in)

    def dying(path: Path, *more: object) -> None:
        calls[0] += 1
        if calls[0] == at:
            if dies_in == "rmtree":
                next(path.glob("*.parquet")).unlink()  # some of it is gone
            raise Killed
        original(path, *more)

    with monkeypatch.context() as patched:
        patched.setattr(durable if dies_in == "flush" else shutil, dies_in, dying)
        with pytest.raises(Killed):
            home.prune()
    assert home.ages == AGES[at:]
    for batch in Earlier.every(home.folder):
        with batch.reading() as records:
            assert records.select(pl.len()).collect().item() == 20
    assert to_instant(Earlier.every(home.folder)[-1].as_of) == START
    assert home.prune() == [100, 10, 0]
    assert not list(home.folder.glob("*.old")), "the rest of a killed run is removed, too"
