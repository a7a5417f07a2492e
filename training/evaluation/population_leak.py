"""Does the population already know the answer? A condition on a trait that decides the label is a leak."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl

from features.definition.columns import feature_set
from features.definition.schema import Definition
from features.errors import RefusalError
from features.events.events import Events
from features.events.log import Log
from features.expressions.program import holds
from features.profile.fold import feature_rows, read_all_at
from features.rows import INSTANT
from features.traits import read_traits, with_traits
from training.dataset.outcomes import label, last_cutoff
from training.evaluation.consistency import collect, sample

#: about how many users are looked at, and how many there must be on either side of a condition
USERS, LEAST = 4_000, 50
#: base rates on the two sides of a condition that are further apart than this are no coincidence
RARE, COMMON = 0.02, 0.6


def check_population(log: Log, definition: Definition, outcome: str, scratch: Path) -> None:
    """Look at people on both sides of each condition on a trait, at the newest matured cutoff.

    What comes from events is cut at the cutoff by the fold; a trait is only as honest as its table: one that was
    written when the answer was known (``status = 'active'``) takes the positives out of the population beforehand.

    Raises:
        RefusalError: ``population_leak``: on one side of a condition the outcome hardly ever happens, on the other
            mostly.
    """
    rule = definition.outcomes[outcome]
    conditions = rule.among.conditions
    asked = [c for c in conditions if c.columns & set(feature_set(definition).traits)]
    cutoff, count = last_cutoff(definition, outcome, log.ends), USERS // log.runs + 1
    if not asked or cutoff <= log.first:
        return
    schema = pl.Schema({"user": pl.String(), "cutoff": INSTANT, "label": pl.Boolean(),
                        **dict.fromkeys(feature_set(definition).numeric, pl.Float64())})  # fmt: skip

    def work(events: Events) -> Iterator[pl.DataFrame]:
        some = sample(events, count)
        for frame in feature_rows(some, read_all_at(some, np.array([cutoff])), definition):
            answer = label(events, frame.select("user", "cutoff"), definition, outcome)
            yield frame.with_columns((answer > 0).alias("label")).select(schema.names())

    rows = with_traits(collect(log, work, schema, scratch), read_traits(definition, log.live))
    for condition in asked:
        others = [holds(c, rows) for c in conditions if c != condition]
        near = rows.filter(*others) if others else rows
        inside = holds(condition, near)
        within, outside = near.filter(inside)["label"], near.filter(~inside)["label"]
        if min(len(within), len(outside)) < LEAST:
            continue
        rates = [float(np.mean(side.to_numpy())) for side in (within, outside)]
        low, high = min(rates), max(rates)
        if (low <= RARE and high >= COMMON) or (low <= 1 - COMMON and high >= 1 - RARE):
            raise RefusalError(
                "population_leak",
                found=f"{outcome} happens to {rates[0]:.1%} where {condition}, and to {rates[1]:.1%} where not",
                needed="a population that does not know the answer",
                fix=f"take {condition!r} out of outcomes.{outcome}.among, or correct when the trait became known",
            )
