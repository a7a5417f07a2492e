"""Executors join attributes and draw labels as this machine does."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from features.event_store.store import EventStore
from features.events.log import Log
from features.events.write import part_files, parts_of_users
from features.feature_store import OnlineProfiles
from features.open_log import open_log
from features.reading.source import EventLog
from features.settings import Settings
from features.snapshot import write_snapshots
from features.system.progress import unseen
from features.time import DAY
from serving.scoring.batch import score_all
from serving.scoring.scorer import Scorer
from serving.upkeep.materialize import materialize
from tests.features.event_store.logs import definition_in, put, random_rows
from tests.features.spark.needed import ON_SPARK, need_spark
from tests.features.spark.rows import CUTOFFS, rows_in
from training.dataset.attach_labels import Labels
from training.dataset.labelled_rows import LabelledRows
from training.dataset.split import split

need_spark()

from features.spark.log import SparkLog  # noqa: E402 - only where Spark is

pytestmark = ON_SPARK


START_OF_TRAITS = datetime(2025, 3, 1, tzinfo=UTC)


@pytest.mark.parametrize("merging", [False, True])
def test_attributes_are_joined_by_executors_as_by_the_local_engine(
    tmp_path: Path, spark_settings: Settings, merging: bool
) -> None:
    """Known before a cutoff, at it and twice at once, of users without events, of merged ids, and erased."""
    put(tmp_path, "a", random_rows(4_000, users=90))
    rng = np.random.default_rng(8)
    known = [START_OF_TRAITS + timedelta(days=int(d)) for d in rng.integers(0, 20, 400)]
    known += [datetime.fromtimestamp(int(CUTOFFS[1]) / 1e6, UTC)] * 50
    users = [f"u{u:03d}" for u in rng.integers(0, 120, 450)]
    plans = [["free", "pro", None, "team"][i] for i in rng.integers(0, 4, 450)]
    table = pl.DataFrame({"user_id": users, "set_at": known, "plan": plans, "country": plans[::-1]})
    table.write_parquet(tmp_path / "traits.parquet")
    traits = {"path": str(tmp_path / "traits.parquet"), "columns": {"user": "user_id", "known": "set_at"},
              "fields": ["country", "plan"]}  # fmt: skip
    merges = [{"old": "u003", "new": "u004", "at": "2025-03-05"}, {"old": "u100", "new": "u005", "at": "2025-03-05"}]
    pl.DataFrame(merges).write_csv(tmp_path / "merges.csv")
    columns = {"alias": "old", "user": "new", "known": "at"}
    identities = {"identities": {"merges": {"path": str(tmp_path / "merges.csv"), "columns": columns}}}
    definition = definition_in(
        tmp_path, name="with-traits", traits=traits, snapshots={"keep": 0.6, "min_rows": 10},
        outcomes={"churn": {"will_not": "visit", "within": "3d", "among": "country = 'pro'"}},
        **(identities if merging else {}),
    )  # fmt: skip
    local = Settings(home=tmp_path / "var")
    EventStore.open(EventLog(definition), local).erase(["u009"])
    EventStore.open(EventLog(definition), spark_settings).erase(["u009"])
    found: list[list[pl.DataFrame]] = []
    for settings in (local, spark_settings):
        log: Log = open_log(definition, settings, ends=None, steps=unseen)
        folder = tmp_path / settings.engine
        write_snapshots(log, CUTOFFS, definition, folder / "snapshots", more=Labels(definition))
        batch = score_all(log, Scorer(definition, {}, None), log.ends, folder / "scores", population=folder / "all")
        materialize(log, definition, settings)
        read = OnlineProfiles(definition, settings).read_covered([f"u{u:03d}" for u in range(120)])
        stored = {user: (p.words, p.traits, p.visible_from) for user, p in read.profiles.items()}
        of_all = [pl.concat(map(pl.read_parquet, part_files(place))) for place in (batch.path, folder / "all")]
        found.append([rows_in(folder / "snapshots"), *(rows.sort("user_id") for rows in of_all)])
        found[-1].append(pl.DataFrame({"user": list(stored), "profile": list(map(repr, stored.values()))}).sort("user"))
        assert not (folder / "snapshots.beside").exists()
    for on_spark, expected in zip(found[1], found[0], strict=True):
        assert_frame_equal(on_spark, expected)
    assert found[0][0]["user"].n_unique() > 20
    assert found[0][2]["country"].n_unique() == 4
    assert "u009" not in found[0][0]["user"]


@pytest.mark.parametrize("limits", [{}, {"max_rows": 1_000, "max_rows_per_user": 3}])
def test_labels_are_drawn_by_executors_as_by_the_local_engine(
    tmp_path: Path, spark_settings: Settings, limits: dict[str, int]
) -> None:
    put(tmp_path, "a", random_rows(8_000, users=900))
    definition = definition_in(
        tmp_path,
        training=limits,
        outcomes={"churn": {"will_not": "visit", "within": "3d", "among": "tenure_days >= 0"}},
    )
    store = EventStore.open(EventLog(definition), Settings(home=tmp_path / "var"))
    cutoffs = np.unique(np.concatenate([CUTOFFS, CUTOFFS - 2 * DAY]))
    found = []
    for log, name in ((store, "local"), (SparkLog.open(definition, spark_settings), "spark")):
        write_snapshots(log, cutoffs, definition, tmp_path / name, more=Labels(definition))
        rows = LabelledRows(tmp_path / name, "churn", definition.training, log.gather)
        parts = split(cutoffs, 3 * DAY)
        sizes = dict(rows.by_slice(parts).select("slice", "spread").iter_rows())
        found.append((rows.by_cutoff(), rows.by_slice(parts), rows.drawn(parts, sizes)))
    assert len(parts_of_users(tmp_path / "spark")) > 1
    for spark, local in zip(found[1], found[0], strict=True):
        assert_frame_equal(spark, local, check_exact=True)
    assert len(found[0][2]) > 900
