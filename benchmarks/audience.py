"""What the builder's answer costs: size, what each condition does, who is held out, who enters and leaves."""

import gc
from pathlib import Path
from time import perf_counter

import numpy as np
import polars as pl

from features.definition.columns import feature_set
from features.definition.names import RFM_GROUPS, TIERS, VALUE_TIERS
from features.definition.schema import Definition
from features.expressions.values import Texts
from features.rows import FeatureRows
from features.settings import Settings
from features.time import to_instant
from segments.evaluator import Names
from serving.audience.population import Population
from serving.audience.sizes import size_of
from serving.scoring.population import KeptPopulation
from serving.scoring.scores import Column, Scored

USERS, CHUNK = 1_000_000, 50_000

#: a rule as it is edited, and as it was saved
RULE = (
    "purchase_count_60d = 0 AND days_since_visit < 30 AND (state IN ('at_risk', 'active') OR churn_probability >= 0.4) "
    "AND plan = 'gold' AND NOT (purchase_tier = 'least_likely') AND visit_active_days_total >= 3 "
    "AND (purchase_count_total = 0 OR days_since_purchase > days_since_cart_add)"
)
SAVED = "purchase_count_60d = 0 AND days_since_visit < 14 AND state = 'at_risk'"


def answers(definition: Definition, home: Path, users: int = USERS) -> tuple[pl.DataFrame, dict[str, float]]:
    """Ask for a rule of seven conditions on eleven columns, of so many made-up users.

    Args:
        definition: whose columns; of the demo.
        home: where the population is kept.
        users: how many.

    Returns:
        A table, and ``audience.…_ms``: ``cold`` when no column is in memory, ``warm`` when all are.
    """
    settings = Settings(home=home)
    _kept(definition, settings, users)
    cold, warm = [], []
    for _ in range(3):
        gc.collect()
        population = Population(definition, settings)
        began = perf_counter()
        size_of(population, RULE, saved=SAVED, name="draft", share=0.1)
        cold.append(perf_counter() - began)
        for _ in range(5):
            began = perf_counter()
            size_of(population, RULE, saved=SAVED, name="draft", share=0.1)
            warm.append(perf_counter() - began)
    folder = settings.population(definition.name)
    kept = sum(file.stat().st_size for file in folder.rglob("*.parquet"))
    numbers = {"audience.cold_ms": 1e3 * float(np.median(cold)), "audience.warm_ms": 1e3 * float(np.median(warm)),
               "audience.bytes_a_user": kept / users}  # fmt: skip
    asked = size_of(Population(definition, settings), RULE, saved=SAVED)
    enter, leave = (some.count if some else 0 for some in (asked.enter, asked.leave))
    found = {"users": users, "found": asked.size, "enter": enter, "leave": leave}
    table = pl.DataFrame({**found, **{name.partition(".")[2]: value for name, value in numbers.items()}})
    return table, numbers


def _kept(definition: Definition, settings: Settings, users: int) -> None:
    """A population of made-up users, written as a batch writes it."""
    ends = to_instant(definition.events.ends) if definition.events.ends else 0
    kept = KeptPopulation.of_newest(
        definition, ends, settings.scores(definition.name), settings.population(definition.name)
    )
    if kept is None:
        raise ValueError("there is a later population")
    for lo in range(0, users, CHUNK):
        kept.add(_scored(definition, ends, lo, min(CHUNK, users - lo)))
    kept.finish(users)


def _scored(definition: Definition, ends: int, first: int, count: int) -> Scored:
    rng, features = np.random.default_rng(first), feature_set(definition)
    matrix = np.empty((len(features.numeric), count))
    for i, name in enumerate(features.numeric):
        counts = "count" in name or "active_days" in name
        matrix[i] = rng.poisson(rng.gamma(0.5, 4, count)) if counts else rng.exponential(40, count)

    def texts(*values: str) -> Texts:
        return Texts(rng.integers(-1, len(values), count), values)

    users = pl.select("u" + pl.int_range(first, first + count).cast(pl.String).str.zfill(8)).to_series().alias("user")
    traits = {name: texts("gold", "free", "pro", "ios", "at") for name in features.traits}
    rows = FeatureRows(features, users, np.full(count, ends), matrix.T, traits)
    columns: dict[str, Column] = {"state": texts(*definition.states), "rfm_group": texts(*RFM_GROUPS)}
    columns |= {f"rfm_{part}": rng.integers(1, 6, count).astype(np.float64) for part in ("r", "f", "m", "score")}
    for name, rule in definition.outcomes.items():
        columns[f"{name}_{rule.answer}"] = rng.beta(2, 5, count)
        columns[f"{name}_percentile"] = rng.integers(0, 101, count).astype(np.float64)
        columns[f"{name}_tier"] = texts(*(TIERS if name in definition.likelihoods else VALUE_TIERS))
    columns |= {f"{name}_points": rng.normal(20, 10, count) for name in definition.leads}
    columns |= {f"value_to_date_{part}": rng.gamma(1, 50, count) for part in ("total", "average", "every_days")}
    inside = rng.poisson(2, count)
    names = Names(rng.integers(0, len(definition.segments), int(inside.sum())), inside, tuple(definition.segments))
    columns |= {"segments": names, "holdout": names.where(rng.random(len(names.codes)) < 0.1)}
    return Scored(rows, columns, {}, {}, definition, definition.version)
