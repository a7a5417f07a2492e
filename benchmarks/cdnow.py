"""CDNOW (Fader and Hardie 2001): who buys within 90 days, and for how much; protocol of a published comparison."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
import yaml

from features.definition import Definition, load_definition
from features.event_store.store import EventStore
from features.feature_store import OfflineFeatures
from features.feature_store.objects import snapshots_path
from features.reading.source import EventLog
from features.settings import Settings
from features.snapshot import write_snapshots
from features.time import DAY, to_instant
from serving.model.card import Procedure
from training.dataset.attach_labels import Labels
from training.dataset.dataset import Dataset, build
from training.dataset.matrices import Matrices
from training.dataset.split import Split
from training.evaluation.metrics import Ranking, metrics
from training.fitting.fit import fit
from training.learn import Learnt, learn

DEFINITION = {
    "name": "cdnow",
    "events": {
        "path": "cdnow.parquet", "columns": {"user": "user_id", "event": "event", "time": "event_time"},
        "ends": "1998-06-30T00:00:00Z",
    },
    "signals": {"purchase": {"where": "event = 'purchase'", "value": "value", "activity": True}},
    "windows": [7, 14, 30, 60, 90, 180, 360],
    "half_lives": ["14d", "45d", "120d"],
    "outcomes": {
        "purchase": {"will": "purchase", "within": "90d", "among": "purchase_count_total >= 1"},
        "spend": {"sum_of": "purchase", "within": "90d", "among": "purchase_count_total >= 1"},
    },
    "snapshots": {"stride": "14d", "spread": False, "warm_up": "99d"},
    "training": {"unseen_share": 0.01},
}  # fmt: skip


def write_log(folder: Path) -> Definition:
    """Write the master file (23,570 customers, from the lifetimes package) as an event log with its definition."""
    from lifetimes.datasets import load_dataset

    sold = load_dataset(
        "CDNOW_master.txt", header=0, sep=r"\s+", names=["user", "date", "number", "value"], dtype={"user": str}
    )
    days = [datetime.strptime(str(date), "%Y%m%d").replace(tzinfo=UTC) for date in sold["date"]]
    events = pl.DataFrame(
        {"user_id": sold["user"].to_list(), "event": "purchase", "event_time": days, "value": sold["value"].to_numpy()}
    )
    events.write_parquet(folder / "cdnow.parquet")
    (folder / "propensity.yaml").write_text(yaml.safe_dump(DEFINITION))
    return load_definition(folder / "propensity.yaml")


def judged(folder: Path, outcome: str) -> Learnt:
    """Fit on cutoffs of 1997, judge on 1 April 1998 with labels to the end of June."""
    data, definition = data_set(folder, outcome)
    return learn(data, Matrices.of(data, definition), definition, None)


def with_its_own_labels(folder: Path) -> dict[str, float]:
    """What purchases of the test would be forecast like, were its labels known of all but the user who is asked about.

    The same procedure fitted on the rows of 1997 and on those of the test, each user answered by the folds that have
    not seen them: what these columns can say when nothing has changed since.
    """
    data, definition = data_set(folder, "purchase")
    matrices = Matrices.of(data, definition)
    rows = np.concatenate([matrices.slices["learn"], matrices.slices["test"]])
    fitted = fit(matrices.at(rows), definition, "purchase", Procedure(kind="blend"))
    tested = slice(len(matrices.slices["learn"]), None)
    labels, weights = (of[matrices.slices["test"]] for of in (matrices.y, matrices.weights))
    return metrics(Ranking.of(fitted.answers[tested]), labels, weights)


def data_set(folder: Path, outcome: str) -> tuple[Dataset, Definition]:
    """The rows of the published comparison."""
    definition, settings = write_log(folder), Settings(home=folder / "var")
    store = EventStore.open(EventLog(definition), settings)
    first = to_instant(datetime(1997, 4, 10, tzinfo=UTC))
    cutoffs = np.array([first + i * 14 * DAY for i in range(20)] + [to_instant(datetime(1998, 4, 1, tzinfo=UTC))])
    folder = snapshots_path(settings.folder(definition.name))
    write_snapshots(store, cutoffs, definition, folder, more=Labels(definition))
    purge = definition.outcomes[outcome].reach
    parts = Split(learn=cutoffs[cutoffs + purge <= cutoffs[-1]], test=cutoffs[-1:])
    return build(folder, OfflineFeatures(definition, settings), definition, outcome, parts=parts), definition
