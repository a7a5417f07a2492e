"""Tables of what was scored."""

from typing import TYPE_CHECKING

import polars as pl
from rich.console import RenderableType

from features.definition.schema import Definition
from propensity.console import table
from segments.tiers import TIERS, VALUE_TIERS
from serving.scoring.reasons.silence import silence

if TYPE_CHECKING:  # a job imports much that its table does not need
    from serving.scoring.batch import BatchResult


def batch(result: "BatchResult", definition: Definition) -> list[RenderableType]:
    """Show how many users sit in each state and tier, who is given no answer and why, and each segment's size."""
    order = list(definition.states)
    grids: list[RenderableType] = []
    for name, rule in definition.outcomes.items():
        grids.append(table(f"{name}: {rule.question}", _states_by_tier(result.states, name, order)))
        if text := silence(result.silent, name, result.users):
            grids.append(text)
    return [*grids, table("Segments", result.segments), f"{result.users:,} records in {result.path}"]


def transitions(moved: int | None) -> str:
    """Say how many transitions a batch made."""
    if moved is None:
        return "No transitions were recorded: a later batch has recorded them already."
    return f"{moved:,} transitions between states, tiers, groups and segments (propensity transitions)"


def _states_by_tier(states: pl.DataFrame, outcome: str, order: list[str]) -> pl.DataFrame:
    """Lay the counts of states and tiers of one outcome out as a grid, states in their order."""
    wide = states.filter(pl.col("outcome") == outcome).pivot("tier", index="state", values="users").fill_null(0)
    tiers = [t for t in (*TIERS[:3], *VALUE_TIERS) if t in wide.columns]
    rank = {state: i for i, state in enumerate(order)}
    wide = wide.with_columns(pl.col("state").replace_strict(rank, default=len(rank)).alias("rank")).sort("rank")
    return wide.select("state", *tiers)
