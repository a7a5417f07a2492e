"""Labels of users who were acted on tell what acting did: held-out users stand for them where there are enough."""

from dataclasses import replace

import polars as pl

from features.definition.schema import Definition
from features.definition.sections.outcome import Outcome
from features.snapshot import WEIGHT
from serving.activation.hand_offs import BOTH_ARMS, HANDED_OFF, HELD_OUT, HandOffs
from serving.model.card import TreatedLabels
from training.dataset.dataset import Dataset
from training.dataset.split import least_of


def without_treated(
    data: Dataset, definition: Definition, hand_offs: HandOffs, moves: pl.DataFrame
) -> tuple[Dataset, TreatedLabels | None]:
    """Let held-out users stand for treated ones where enough were held out; else count the labels of treated users.

    A row is treated when a transition of its user went to a destination before the end of the label's window. With
    ``training.min_positives`` held-out rows of either answer to learn from, and a quarter of it to judge on, treated
    rows are left out, and a held-out one counts for one over the probability of being held out; users who were in both
    arms count as treated. With fewer, all rows stay as they are: a handful of users with large weights would be learnt
    by heart.

    Args:
        data: the data set.
        definition: its outcomes and limits.
        hand_offs: who was treated, who was held out.
        moves: as `HandOffs.moves` reads them since the first cutoff.

    Returns:
        The data set, the same one where nobody was treated; what the card says of it, None where nobody was.
    """
    rule, found = definition.outcomes[data.outcome], data.rows.select("user", at=pl.col("cutoff").dt.epoch("us"))
    found = hand_offs.populations(found, moves, rule.gap + rule.within).select("population", factor="weight")
    treated = found["population"].is_in([HANDED_OFF, BOTH_ARMS])
    if not treated.any():
        return data, None
    held = found["population"] == HELD_OUT
    both, least = isinstance(rule, Outcome), least_of(definition.training.min_positives)
    counted = {name: _held_out(data, held, name, both) for name in least}
    replaced = all(counted[name] >= needed for name, needed in least.items())
    counts = TreatedLabels(
        learn=_share(data, treated, "learn"), test=_share(data, treated, "test"), replaced=replaced,
        held_out=int(held.sum()), enough_to_learn=counted["learn"], enough_to_judge=counted["test"],
    )  # fmt: skip
    if not replaced:
        return data, counts
    rows = data.rows.with_columns(pl.col(WEIGHT) * found["factor"]).filter(pl.col(WEIGHT) > 0)
    return replace(data, rows=rows), counts


def _held_out(data: Dataset, held: pl.Series, name: str, both: bool) -> int:
    """How many held-out rows of the rarer answer a slice has; of amounts, those that have one."""
    mine = data.rows.filter(held & data.inside(name))
    happened = int((mine["label"] > 0).sum())
    return min(happened, len(mine) - happened) if both else happened


def _share(data: Dataset, treated: pl.Series, name: str) -> float:
    """The share of a slice's labels, by weight, that are of treated users."""
    inside = data.inside(name)
    weights = data.rows[WEIGHT]
    return float(weights.filter(inside & treated).sum()) / float(weights.filter(inside).sum())
