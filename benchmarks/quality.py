"""How good the models are: beside the best possible forecast of simulated worlds, and beside others on real logs."""

import subprocess
import sys
from collections.abc import Collection, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl
from sklearn.ensemble import HistGradientBoostingClassifier

from benchmarks.cdnow import judged, with_its_own_labels
from benchmarks.world import ROOT, World
from features.definition import Definition, load_definition
from features.errors import EventLogError, RefusalError
from features.event_store.store import EventStore
from features.events.compacted import NONE
from features.feature_store import OfflineFeatures
from features.feature_store.objects import snapshots_path, traits_path
from features.reading.source import EventLog
from features.settings import Settings
from features.snapshot import WEIGHT, write_snapshots
from features.system.progress import unseen
from features.time import to_instant
from features.traits import latest_traits, write_traits
from segments.rfm_cuts import load_cuts
from serving.model.registry.loader import Loader
from serving.scoring.feature_rows import batch_rows
from serving.scoring.scorer import Scorer
from training.baselines.classification import rfm_columns
from training.dataset.attach_labels import Labels
from training.dataset.dataset import Dataset, build
from training.dataset.matrices import Matrices
from training.dataset.outcomes import label, snapshot_cutoffs
from training.evaluation.judgement import judge
from training.evaluation.metrics import Ranking, metrics
from training.job import train
from training.learn import Learnt, learn
from training.report.model_report import measure

#: paired resamples of the users
DRAWS = 1_000


def distance_from_best(world: World, name: str) -> pl.DataFrame:
    """Score everybody at the truth's newest cutoff; AUC and log loss over the best possible, and calibration errors.

    The models are trained as of that cutoff: what serves learns from everything that is known, and nothing of what
    happened after the cutoff was known then.
    """
    definition = world.definition
    events = EventLog(definition).read()
    truth = pl.read_parquet(world.folder / "truth/truth.parquet").rename({"user_id": "user"})
    cutoff = truth["cutoff"].max()
    truth = truth.filter(pl.col("cutoff") == cutoff)
    instant = to_instant(cutoff)  # type: ignore[arg-type]
    with TemporaryDirectory() as home:
        settings = Settings(definition=world.settings.definition, home=Path(home))
        train(
            definition, settings, steps=unseen, ends=instant, outcomes=list(definition.likelihoods), force="to measure"
        )
        scorer = Scorer(definition, Loader(definition, settings).champions(), load_cuts(definition, settings))
    rows = batch_rows(events, definition, instant, latest_traits(definition, instant, NONE))
    scored = pl.concat([scorer.score(r, r.cutoffs).frame for r in rows if len(r)])
    found = []
    for outcome in definition.likelihoods:
        predicted = scored.drop_nulls(f"{outcome}_probability").select("user", "cutoff", f"{outcome}_probability")
        both = predicted.join(truth.select("user", outcome), on="user")
        labels = label(events, both, definition, outcome).to_numpy().astype(np.float64)
        ours, best = both[f"{outcome}_probability"].to_numpy(), both[outcome].to_numpy()
        measured, possible = (metrics(Ranking.of(p), labels, np.ones(len(labels))) for p in (ours, best))
        found.append(
            {
                "world": name,
                "outcome": outcome,
                "users": len(both),
                "AUC": measured["auc"],
                "best_possible": possible["auc"],
                "AUC_over_best": measured["auc"] / possible["auc"],
                "log_loss_over_best": measured["log_loss"] / possible["log_loss"],
                "calibration_error": measured["calibration_error"],
                "calibration_error_of_best": possible["calibration_error"],
                "mean_distance_from_truth": float(np.abs(ours - best).mean()),
            }
        )
    return pl.DataFrame(found)


def cdnow() -> tuple[pl.DataFrame, dict[str, float]]:
    """CDNOW by the published protocol, with the baselines beside it."""
    with TemporaryDirectory() as folder:
        learnt = judged(Path(folder), "purchase")
    with TemporaryDirectory() as folder:
        known = with_its_own_labels(Path(folder))
    card = learnt.model.card
    shown = ("auc", "average_precision", "lift_at_10", "log_loss", "calibration_error")
    rows = [{"model": "ours", **{m: measure(card.metrics[m]) for m in shown}, "AP_of_ours_ahead": "–"}]
    for baseline, found in card.baselines.items():
        ahead = measure(learnt.against[baseline]["average_precision"], "+.4f")
        rows.append({"model": baseline, **{m: measure(found[m]) for m in shown}, "AP_of_ours_ahead": ahead})
    rows.append({"model": "ours, were the others' labels of the test known", **{m: f"{known[m]:.4f}" for m in shown},
                 "AP_of_ours_ahead": "–"})  # fmt: skip
    keys = {"auc": "auc", "ap": "average_precision", "lift10": "lift_at_10", "log_loss": "log_loss"}
    found = {f"models.cdnow.{k}": card.metrics[m].value for k, m in keys.items()}
    return pl.DataFrame(rows), found | {f"models.cdnow.{k}_if_known": known[m] for k, m in keys.items()}


def amounts() -> tuple[pl.DataFrame, dict[str, float]]:
    """Predicted value on CDNOW and on the example logs that ask for it, with the baselines beside it."""
    rows, numbers = [], {}
    with TemporaryDirectory() as folder:
        learnt = {"cdnow": judged(Path(folder), "spend")}
        for file in examples(Path(folder)):
            definition = load_definition(file)
            sets = _data_sets(definition, Settings(definition=file, home=Path(folder) / "var"), definition.amounts)
            for data in sets:
                learnt[definition.name] = learn(data, Matrices.of(data, definition), definition, None)
    shown = ("normalised_gini", "value_at_10", "observed_over_expected", "calibration_error", "mean_absolute_error")
    for log, found in learnt.items():
        card = found.model.card
        for name, measured in {"ours": card.metrics, **card.baselines}.items():
            ahead = "–" if name == "ours" else measure(found.against[name]["normalised_gini"], "+.4f")
            ours = {metric: measure(measured[metric]) for metric in shown}
            rows.append({"log": log, "model": name, **ours, "Gini_of_ours_ahead": ahead})
        best = max(baseline["normalised_gini"].value for baseline in card.baselines.values())
        key = f"models.{log.replace('-', '_')}.spend"
        numbers |= {f"{key}_gini": card.metrics["normalised_gini"].value, f"{key}_gini_best_floor": best}
        numbers |= {f"{key}_{metric}": card.metrics[metric].value for metric in shown[1:4]}
    return pl.DataFrame(rows), numbers


def real_logs() -> pl.DataFrame:
    """The example logs that are at hand: our models beside the best baseline and gradient boosting on RFM features."""
    with TemporaryDirectory() as folder:
        rows = [row for file in examples(Path(folder)) for row in _of_log(file, Path(folder) / "var")]
    return pl.DataFrame(rows)


def examples(folder: Path) -> Iterator[Path]:
    """Definitions of the example logs that are at hand."""
    for file in sorted((ROOT / "examples").glob("*/propensity.yaml")):
        if file.parent.name == "complete_journey":
            log = folder / "log"
            subprocess.run([sys.executable, "-m", "examples.complete_journey", "--out", str(log)], cwd=ROOT, check=True)
            mine = folder / "complete_journey.yaml"
            mine.write_text(file.read_text().replace("../../data/complete_journey", str(log)))
            yield mine
        else:
            try:
                EventLog(load_definition(file))
            except EventLogError:
                continue  # this log is not at hand
            yield file


def _of_log(file: Path, home: Path) -> Iterator[dict[str, object]]:
    definition = load_definition(file)
    for data in _data_sets(definition, Settings(definition=file, home=home), definition.likelihoods):
        yield beside(definition, data, learn(data, Matrices.of(data, definition), definition, None))


def _data_sets(definition: Definition, settings: Settings, outcomes: Collection[str]) -> Iterator[Dataset]:
    """The data set of each outcome that can be learnt."""
    if not outcomes:
        return
    store, folder = EventStore.open(EventLog(definition), settings), settings.folder(definition.name)
    cutoffs = snapshot_cutoffs(definition, store)
    write_snapshots(store, cutoffs, definition, snapshots_path(folder), more=Labels(definition))
    if definition.traits is not None:
        write_traits(definition, traits_path(folder), NONE)
    for outcome in outcomes:
        try:
            yield build(snapshots_path(folder), OfflineFeatures(definition, settings), definition, outcome)
        except RefusalError:
            continue


def beside(definition: Definition, data: Dataset, learnt: Learnt) -> dict[str, object]:
    """A judged model beside the best baseline and gradient boosting on RFM features, fitted on the same rows."""
    fit, test = data.part("learn"), data.part("test")
    # scikit-learn's binning cannot take a column without two values
    names = [name for name in rfm_columns(definition, data.outcome) if fit[name].drop_nulls().n_unique() > 1]
    other = HistGradientBoostingClassifier(random_state=1)
    other.fit(fit.select(names).to_numpy(), fit["label"].to_numpy(), sample_weight=fit[WEIGHT].to_numpy())
    scores = {
        "ours": learnt.answers,  # of what was judged: the model that serves has learnt from these rows
        "other": other.predict_proba(test.select(names).to_numpy())[:, 1],
    }
    labels, weights = test["label"].to_numpy().astype(np.float64), test[WEIGHT].to_numpy()
    found = judge(scores, labels, test["user"], weights, seed=1, draws=DRAWS)
    card = learnt.model.card
    baseline = max(card.baselines, key=lambda name: card.baselines[name]["average_precision"].value)
    return {
        "log": definition.name,
        "outcome": data.outcome,
        "base_rate": f"{np.average(labels, weights=weights):.1%}",
        "AP": measure(found.measure("ours", "average_precision")),
        "AUC": measure(found.measure("ours", "auc")),
        "best_baseline": baseline,
        "AP_ahead_of_baseline": measure(learnt.against[baseline]["average_precision"], "+.3f"),
        "AP_ahead_of_boosted_RFM": measure(found.ahead("ours", "other", "average_precision"), "+.3f"),
        "log_loss_below_boosted_RFM": measure(found.ahead("other", "ours", "log_loss"), "+.4f"),
    }
