"""Merged ids on Spark are those of the local engine."""

from pathlib import Path

import numpy as np
import polars as pl

from features.definition import Definition
from features.event_store.store import EventStore
from features.events.write import part_files
from features.feature_store import OnlineProfiles
from features.reading.source import EventLog
from features.settings import Settings
from features.snapshot import write_snapshots
from serving.scoring.batch import score_all
from serving.scoring.scorer import Scorer
from serving.upkeep.materialize import materialize
from tests.features.event_store.logs import definition_in, put, random_rows
from tests.features.spark.needed import ON_SPARK, need_spark
from tests.features.spark.rows import CUTOFFS, assert_same_rows, rows_in
from tests.worlds import with_signal
from training.dataset.attach_labels import Labels

need_spark()

from features.spark.log import SparkLog  # noqa: E402 - only where Spark is

pytestmark = ON_SPARK


def merging(folder: Path) -> Definition:
    """Devices that log in, some that many share, accounts that a table joins and parts again, a device in no row."""
    rows = random_rows(3_000, users=60)
    rng = np.random.default_rng(4)
    own, known = rng.integers(0, 40, len(rows)), pl.Series(rng.random(len(rows)) < 0.3)
    device = pl.Series("device", [f"d{i:02d}" if i < 39 else None for i in own])
    users = [f"u{i + 10:03d}" if i < 30 else user for i, user in zip(own, rows["user_id"], strict=True)]
    rows = rows.with_columns(device, user_id=pl.when(known).then(pl.Series(users)))
    put(folder, "a", rows)
    table = [
        "old,new,at,undone",
        "u001,u002,2025-03-09T00:00:00Z,",
        "u003,u004,2025-03-08T00:00:00Z,2025-03-14T00:00:00Z",
        "u005,u006,2025-03-10T00:00:00Z,",
        "nobody-yet,u006,2025-03-10T00:00:00Z,",
        "u006,u005,2025-03-11T00:00:00Z,",
    ]
    (folder / "merges.csv").write_text("\n".join(table) + "\n")
    columns = {"alias": "old", "user": "new", "known": "at", "undone": "undone"}
    definition = definition_in(
        folder,
        identities={"alias": "COALESCE(device, 'none')", "most_users": 3,
                    "merges": {"path": str(folder / "merges.csv"), "columns": columns}},
        signals=with_signal("purchase", recurring={"months": "1", "grace": "3d", "over": "14d"}),
        outcomes={"churn": {"will_not": "visit", "within": "3d", "among": "tenure_days >= 0"}},
        transitions={"holdout": 0.3},
    )  # fmt: skip
    named = definition.events.columns.model_copy(update={"user": "COALESCE(user_id, device)"})
    merged = definition.model_copy(update={"events": definition.events.model_copy(update={"columns": named})})
    merged._source = definition._source
    return merged


def test_people_are_those_of_the_local_engine(tmp_path: Path, spark_settings: Settings) -> None:
    definition, local = merging(tmp_path), Settings(home=tmp_path / "var")
    store = EventStore.open(EventLog(definition), local)
    spark = SparkLog.open(definition, spark_settings)
    assert spark.people.at(store.ends).equals(store.people.at(store.ends))
    assert spark.people.drawn_as(store.ends) == store.people.drawn_as(store.ends)
    reasons = ["reason", "alias", "user"]
    assert spark.people.links.refused.sort(reasons).equals(store.people.links.refused.sort(reasons))
    assert store.people.count > 5
    assert len(store.people.links.refused) > 5
    for log, name in ((store, "local"), (spark, "spark")):
        write_snapshots(log, CUTOFFS, definition, tmp_path / name, more=Labels(definition))
    found, expected = rows_in(tmp_path / "spark"), rows_in(tmp_path / "local")
    assert_same_rows(found, expected, definition)
    assert found["label_churn"].equals(expected["label_churn"])
    merged = store.people.below(store.ends)
    assert len(merged) > 20
    ids = sorted({*store.people.ids, *found["user"]})
    stored = []
    for log, settings in ((store, local), (spark, spark_settings)):
        materialize(log, definition, settings)
        online = OnlineProfiles(definition, settings)
        read = online.read_covered(ids)
        stored.append((read.now, {user: (p.words, p.identity) for user, p in read.profiles.items()}))
    assert stored[0] == stored[1]
    assert set(merged) >= set(stored[0][0])
    scorer = Scorer(definition, {}, None)
    scored = [
        pl.concat(map(pl.read_parquet, part_files(score_all(
            log, scorer, store.ends, tmp_path / f"scores-{i}", drawn_as=log.people.drawn_as(store.ends)).path)
        )).sort("user_id").select("user_id", "state", "segments", "holdout")
        for i, log in enumerate((store, spark))
    ]  # fmt: skip
    assert scored[0].equals(scored[1])
