"""The population of the newest batch holds what the scorer says, whole or not at all, and lets go of who is erased."""

import shutil
import threading
from datetime import datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from features.definition.file.load import segment_schema
from features.definition.sections.rule import predicates
from features.errors import StoreError
from features.events.write import part_files
from features.expressions.values import Texts
from features.rows import FeatureRows
from features.system.files import durable
from features.time import DAY, Clock, to_datetime
from segments.evaluator import Evaluator
from serving.activation.memberships import Memberships
from serving.audience import population as population_module
from serving.audience.population import Population
from serving.database.log.live_log import LiveLog
from serving.scoring.population import populations
from serving.scoring.scores import Scored
from serving.upkeep.erase import erase
from tests.serving.audience.conftest import Batch
from tests.serving.conftest import copy_of
from tests.serving.kept import holding


def own(batch: Batch, folder: Path) -> Batch:
    """A batch of its own."""
    return Batch(copy_of(batch.world, folder / "world"), batch.log, batch.scorer)


def folder_of(batch: Batch) -> Path:
    return batch.world.settings.population(batch.world.definition.name)


def test_each_column_is_what_the_scorer_says_to_the_last_bit(batch: Batch, scored: Scored, rows: FeatureRows) -> None:
    columns = list(segment_schema(batch.world.definition))
    view = batch.population.view(columns, users=True)
    assert (view.cutoff, view.count) == (batch.log.ends, len(rows))
    assert view.definition == batch.world.definition.version
    order = view.users.arg_sort().to_numpy(), rows.users.arg_sort().to_numpy()
    assert view.users.gather(order[0]).to_list() == rows.users.gather(order[1]).to_list()
    expected = scored.values(columns)
    assert len(expected) == len(columns) > 150
    for name, column in view.values.items():
        other = expected[name]
        if isinstance(column, Texts):
            assert isinstance(other, Texts)
            assert column.take(order[0]).to_list() == other.take(order[1]).to_list(), name
        else:
            left, right = (np.asarray(c, dtype=np.float64) for c in (column, other))
            assert np.array_equal(left[order[0]].view(np.int64), right[order[1]].view(np.int64)) or np.array_equal(
                left[order[0]], right[order[1]], equal_nan=True
            ), name


def test_every_segment_finds_the_users_of_the_batch(batch: Batch, scored: Scored) -> None:
    evaluator = Evaluator(predicates(batch.world.definition.segments))
    view = batch.population.view(evaluator.columns, users=True)
    inside = evaluator.holds(view.values, view.count)
    segments = scored.frame.select("user", "segments")
    for i, name in enumerate(evaluator.names):
        users = segments.filter(pl.col("segments").list.contains(name))["user"]
        assert set(view.ids(np.flatnonzero(inside[:, i]).tolist())) == set(users), name


def test_only_the_newest_batch_has_one(batch: Batch, tmp_path: Path) -> None:
    mine = own(batch, tmp_path)
    mine.score(mine.log.ends - 9 * DAY)
    assert list(populations(folder_of(mine))) == [to_datetime(mine.log.ends)], "an earlier batch keeps none"
    population = mine.population
    shutil.rmtree(mine.world.settings.scores("demo-shop"))
    shutil.rmtree(folder_of(mine))
    with pytest.raises(StoreError, match=r"holds no population: .* Fix: propensity score writes it"):
        _ = population.cutoff
    mine.score(mine.log.ends - 9 * DAY)
    before = population.view(["state"])
    assert before.cutoff == mine.log.ends - 9 * DAY
    mine.score(mine.log.ends)
    assert population.view(["state"]).cutoff == mine.log.ends, "the next answer is of the newer batch"
    assert [path.name for path in folder_of(mine).iterdir()] == ["population-2026-03-01T000000Z"]


def test_what_is_made_of_a_batch_is_not_kept_for_the_next(batch: Batch, tmp_path: Path) -> None:
    mine = own(batch, tmp_path)
    population = mine.population

    def cutoff() -> int:
        found = population.cutoff
        mine.score(mine.log.ends + DAY)  # a newer batch comes while it is made
        return found

    assert population.made("cutoff", cutoff) == mine.log.ends
    assert population.made("cutoff", lambda: population.cutoff) == mine.log.ends + DAY
    shutil.rmtree(mine.world.settings.scores("demo-shop"))
    shutil.rmtree(folder_of(mine))
    mine.score(mine.log.ends)
    assert population.made("cutoff", lambda: population.cutoff) == mine.log.ends, "nobody has asked for it since"


def test_a_newer_batch_that_removes_the_one_that_is_opened(
    batch: Batch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, real, listed = own(batch, tmp_path), population_module.populations, list[bool]()

    def slow(folder: Path) -> dict[datetime, Path]:
        found = real(folder)
        if not listed:
            listed.append(True)
            mine.score(mine.log.ends + DAY)
        return found

    monkeypatch.setattr(population_module, "populations", slow)
    assert mine.population.view(["state"], users=True).cutoff == mine.log.ends + DAY


def test_columns_take_no_more_memory_than_they_may(batch: Batch) -> None:
    small = Population(batch.world.definition, batch.world.settings, most_bytes=3 * 8 * 3_000)
    for name in ("tenure_days", "days_since_visit", "visit_count_7d", "visit_count_30d", "state"):
        assert np.size(getattr(small.view([name]).values[name], "codes", small.view([name]).values[name])) == 3_000
        assert 0 < small.bytes <= 3 * 8 * 3_000
    assert small.view(["tenure_days", "visit_count_7d", "visit_count_14d", "visit_count_30d"]).count == 3_000
    assert small.bytes <= 3 * 8 * 3_000, "an answer may need more; what is kept after it does not"


def test_erased_users_are_in_no_file_and_in_no_answer(batch: Batch, tmp_path: Path) -> None:
    mine = own(batch, tmp_path)
    population, who = mine.population, mine.log.events.users[7]
    assert who in population.view(["state"], users=True).users
    memberships = Memberships(
        mine.world.definition,
        LiveLog.open(mine.world.definition, mine.world.settings),
        Clock(to_datetime(mine.log.ends)),
    )
    report = erase(mine.world.definition, mine.world.settings, memberships, [who])
    assert (report.removed["population"], sum(report.left.values())) == (1, 0)
    assert holding(folder_of(mine), who) == []
    view = population.view(["state", "plan", "visit_count_30d"], users=True)
    assert who not in view.users
    assert view.count == len(view.users) == len(np.asarray(view.values["visit_count_30d"])) == 2_999
    assert view.cutoff == mine.log.ends


@pytest.mark.parametrize("how", [lambda b: b[: len(b) // 2], lambda _: b"", lambda _: b"\x00garbage" * 99])
def test_a_damaged_file_is_named_with_its_remedy(batch: Batch, tmp_path: Path, how) -> None:
    mine = own(batch, tmp_path)
    file = part_files(folder_of(mine))[0]
    file.write_bytes(how(file.read_bytes()))
    with pytest.raises(StoreError, match=r"population-\S+ cannot be read: .* Fix: remove .*; propensity score writes"):
        mine.population.view(["state"])
    mine.score(mine.log.ends)
    assert mine.population.view(["state"]).count == 3_000


def test_a_batch_that_was_killed_leaves_the_one_before(batch: Batch, tmp_path: Path) -> None:
    mine = own(batch, tmp_path)
    shutil.copytree(part_files(folder_of(mine))[0].parent, folder_of(mine) / "population-2026-03-02T000000Z.new")
    assert mine.population.cutoff == mine.log.ends


def test_a_column_that_the_batch_did_not_know(batch: Batch) -> None:
    other = batch.world.redefined(windows=["1d", "7d", "120d"], packs={}, states={}, segments={}, leads={}, rfm=None)
    with pytest.raises(StoreError, match=r"has no column 'visit_count_120d'\. Fix: propensity score"):
        Population(other, batch.world.settings).view(["visit_count_120d"])


@pytest.mark.parametrize("can", [True, False], ids=["in one step", "where the file system cannot"])
def test_threads_share_it_while_a_batch_is_made_again(
    batch: Batch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, can: bool
) -> None:
    mine = own(batch, tmp_path)
    if not can:
        monkeypatch.setattr(durable, "exchange", lambda *_: False)
    population, faults, names = mine.population, list[BaseException](), list(segment_schema(mine.world.definition))
    done = threading.Event()

    def ask(seed: int) -> None:
        drawn = np.random.default_rng(seed)
        try:
            while not done.is_set():
                view = population.view(drawn.choice(names, 3).tolist(), users=True)
                assert {len(c.codes) if isinstance(c, Texts) else np.size(c) for c in view.values.values()} == {
                    len(view.users)
                }
        except BaseException as error:  # shown below
            faults.append(error)

    threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(3):
        mine.score(mine.log.ends)
    done.set()
    for thread in threads:
        thread.join()
    assert faults == []
