"""How near the models come to the best possible forecast of the demo world."""

import numpy as np
import polars as pl
from sklearn.metrics import roc_auc_score

from benchmarks.world import World
from features.log.source import EventLog
from features.time import to_instant
from segments.frozen import load_cuts
from serving.loader import Loader
from serving.rows import batch_rows, latest_traits
from serving.scorer import Scorer
from training.evaluate import Ranking, metrics
from training.outcomes import label


def distance_from_best(world: World) -> pl.DataFrame:
    """Score everybody at the truth's newest cutoff; AUC over the best possible, and calibration error.

    The cutoff lies three weeks before the log's end, a fortnight and more after the newest row any model was fitted on.
    """
    definition, settings = world.definition, world.settings
    events = EventLog(definition).read()
    truth = pl.read_parquet(world.folder / "truth/truth.parquet").rename({"user_id": "user"})
    cutoff = truth["cutoff"].max()
    truth = truth.filter(pl.col("cutoff") == cutoff)
    traits = latest_traits(definition, to_instant(cutoff))  # type: ignore[arg-type]
    scorer = Scorer(definition, Loader(definition, settings).champions(), load_cuts(definition, settings))
    parts = [
        scorer.score(r, r.cutoffs).frame for r in batch_rows(events, definition, to_instant(cutoff), traits) if len(r)
    ]  # type: ignore[arg-type]
    scored = pl.concat(parts)
    found = []
    for name in definition.outcomes:
        both = (
            scored.drop_nulls(f"{name}_probability")
            .select("user", "cutoff", f"{name}_probability")
            .join(truth.select("user", name), on="user")
        )
        labels = label(events, both, definition, name).to_numpy().astype(np.float64)
        ours, best = both[f"{name}_probability"].to_numpy(), both[name].to_numpy()
        measured = metrics(Ranking.of(ours), labels, np.ones(len(labels)))
        auc, possible = measured["auc"], float(roc_auc_score(labels, best))
        found.append(
            {
                "outcome": name,
                "users": len(both),
                "AUC": auc,
                "best_possible_AUC": possible,
                "ratio": auc / possible,
                "calibration_error": measured["calibration_error"],
                "mean_distance_from_truth": float(np.abs(ours - best).mean()),
            }
        )
    return pl.DataFrame(found)
