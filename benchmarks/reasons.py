"""What scores and exact attributions of trees cost, for one user and in bulk, beside LightGBM's own."""

import time
from collections.abc import Callable

import lightgbm as lgb
import numpy as np
import polars as pl

from benchmarks.world import World
from features.events.compacted import NONE
from features.events.write import part_files
from features.feature_store.objects import snapshots_path
from features.reading.source import EventLog
from features.system.parallel import cores
from features.traits import latest_traits
from serving.model.numbers import model_matrix
from serving.model.registry.loader import Loader
from serving.model.trees.treeshap import WORTHWHILE

ROWS = 20_000


def median_of(times: int, work: Callable[[], object]) -> float:
    """Median seconds."""
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        work()
        taken.append(time.perf_counter() - began)
    return float(np.median(taken))


def cost(world: World) -> tuple[pl.DataFrame, dict[str, float]]:
    """Time both ways on the same rows, with as many threads, and take the largest difference of the effects."""
    folder = world.settings.folder(world.definition.name)
    rows = pl.scan_parquet(part_files(snapshots_path(folder))).tail(ROWS).collect()
    traits = latest_traits(world.definition, EventLog(world.definition).ends, NONE)
    found = []
    for model in Loader(world.definition, world.settings).champions().values():
        joined = rows if traits is None else rows.join(traits, on="user", how="left")
        matrix = model_matrix(joined, model.card.features, model.card.categories)

        forest = model.booster
        if forest is None:
            continue  # a regression answers alone
        booster = lgb.Booster(model_str=forest.text)

        def theirs(some: np.ndarray, threads: int, booster: lgb.Booster = booster) -> np.ndarray:
            return np.asarray(booster.predict(some, pred_contrib=True, num_threads=threads))[:, :-1]

        model.effects(matrix[:1])
        one = median_of(200, lambda m=model, x=matrix[:1]: m.effects(x))  # type: ignore[misc]
        began = time.perf_counter()
        forest.effects(matrix[:WORTHWHILE])
        tables = time.perf_counter() - began
        ours = median_of(5, lambda f=forest, x=matrix: f.effects(x))  # type: ignore[misc]
        reference = median_of(3, lambda x=matrix, t=theirs: t(x, cores()))  # type: ignore[misc]
        apart = float(np.abs(forest.effects(matrix) - theirs(matrix, cores())).max())
        score = median_of(5, lambda f=forest, x=matrix: f.predict(x))  # type: ignore[misc]
        scored = median_of(3, lambda x=matrix, b=booster: b.predict(x, raw_score=True, num_threads=1))  # type: ignore[misc]
        if not np.array_equal(forest.predict(matrix), booster.predict(matrix, raw_score=True)):
            raise RuntimeError(f"{model.version} scores otherwise than LightGBM does")
        found.append(
            {"model": model.version, "trees": len(forest.roots), "one_user_ms": one * 1e3,
             "tables_s": tables, "bulk_rows_per_s": len(matrix) / ours, "LightGBM_rows_per_s": len(matrix) / reference,
             "times_faster": reference / ours, "largest_difference": apart, "scores_times_faster": scored / score}
        )  # fmt: skip
    frame = pl.DataFrame(found)
    return frame, {
        "reasons.one_user_ms": float(frame["one_user_ms"].max()),  # type: ignore[arg-type]
        "reasons.batch_vs_pred_contrib": float(frame["times_faster"].min()),  # type: ignore[arg-type]
        "trees.scores_vs_lightgbm": float(frame["scores_times_faster"].min()),  # type: ignore[arg-type]
        "reasons.largest_difference": float(frame["largest_difference"].max()),  # type: ignore[arg-type]
    }
