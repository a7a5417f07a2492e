"""Matured likelihoods beside expected ones: at a cut-off and by what was predicted, with intervals."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import polars as pl

from serving.activation.hand_offs import HANDED_OFF, HELD_OUT, LEFT_ALONE
from serving.published.bins import STEPS, Point

#: of a 95 % interval
Z: Final = 1.959964

#: points of a diagram, each of as many predictions by weight
POINTS: Final = 10

#: everybody who was not acted on: held-out users are weighted to stand for treated ones
UNTREATED: Final = "untreated"


@dataclass(frozen=True, slots=True)
class Share:
    """A share with its 95 % interval.

    Attributes:
        value: the share.
        low: lower end of Wilson's interval.
        high: upper end of it.
    """

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class CameTrue:
    """What came true above a cut-off in a population.

    Attributes:
        population: which: `UNTREATED`, or one that `serving.activation.hand_offs` names.
        predictions: how many had at least the cut-off.
        of: how many there are.
        stands: for how many those above stand: the sum of their weights.
        expected: the share that was expected of those above; None where there are none.
        precision: the share of those above who did it.
        hits: how many did it of those for whom they stand.
        recall: the share of those above among all who did it; None where nobody did.
    """

    population: str
    predictions: int
    of: int
    stands: float
    expected: float | None
    precision: Share | None
    hits: Share | None
    recall: Share | None


def wilson(share: float, count: float) -> Share:
    """A share with Wilson's interval.

    Args:
        share: in ``[0, 1]``.
        count: of how many independent ones; above 0, need not be whole.
    """
    middle, square = share + Z**2 / (2 * count), 1 + Z**2 / count
    reach = Z * math.sqrt(share * (1 - share) / count + Z**2 / (4 * count**2))
    return Share(share, max(0.0, (middle - reach) / square), min(1.0, (middle + reach) / square))


def first_bin(cut: float) -> int:
    """The first bin that lies wholly at or above a cut-off."""
    return math.ceil(cut * STEPS - 1e-9)


def came_true(bins: pl.DataFrame, cut: float) -> list[CameTrue]:
    """What came true above a cut-off: of the untreated together, then of each population by itself.

    Args:
        bins: `serving.published.bins.BINS`.
        cut: a probability; a bin that it splits is left out.
    """
    first = first_bin(cut)
    return [_came_true(name, rows, first) for name, rows in _populations(bins)]


def reliability(bins: pl.DataFrame) -> list[Point]:
    """What was predicted beside what came true of untreated users, the lowest first; at most `POINTS` points."""
    rows = untreated(bins)
    if not len(rows):
        return []
    by_bin = rows.group_by("bin").agg(pl.exclude("version", "population").sum()).sort("bin")
    place = (by_bin["weight"].cum_sum() - by_bin["weight"] / 2) / by_bin["weight"].sum()
    of = (place * POINTS).floor().cast(pl.Int64)
    repeats = _repeats(rows)
    found = []
    for _, part in by_bin.with_columns(of=of).group_by("of", maintain_order=True):
        total = part.sum().row(0, named=True)
        count = total["weight"] ** 2 / total["squares"] * repeats
        share = wilson(total["event_weight"] / total["weight"], count)
        found.append(
            Point(total["expected"] / total["weight"], share.value, share.low, share.high, int(total["users"]))
        )
    return found


def untreated(bins: pl.DataFrame) -> pl.DataFrame:
    """The bins of users who were not acted on."""
    return bins.filter(pl.col("weight") > 0)


def _populations(bins: pl.DataFrame) -> Iterator[tuple[str, pl.DataFrame]]:
    there = set(bins["population"].unique())
    apart = [name for name in (HELD_OUT, LEFT_ALONE, HANDED_OFF) if name in there]
    if HELD_OUT in there and LEFT_ALONE in there:
        yield UNTREATED, untreated(bins)
    for name in apart:
        # alone, everybody of a population counts alike
        rows = bins.filter(population=name)
        users, events = (rows[which].cast(pl.Float64) for which in ("users", "events"))
        yield (
            name,
            rows.with_columns(
                weight=users, squares=users, expected=rows["predicted"], event_weight=events, event_squares=events
            ),
        )


def _repeats(rows: pl.DataFrame) -> float:
    """By how much less predictions say, because users are there with several batches: users over predictions."""
    people = int(rows.unique("population")["people"].sum())
    return min(1.0, people / max(1, int(rows["users"].sum())))


def _came_true(population: str, rows: pl.DataFrame, first: int) -> CameTrue:
    sums = pl.exclude("version", "population").sum()
    everything, mine = (part.select(sums).row(0, named=True) for part in (rows, rows.filter(pl.col("bin") >= first)))
    repeats = _repeats(rows)
    users, of = int(mine["users"]), int(everything["users"])
    if not users:
        return CameTrue(population, 0, of, 0.0, None, None, None, None)
    precision = wilson(mine["event_weight"] / mine["weight"], mine["weight"] ** 2 / mine["squares"] * repeats)
    recall = None
    if everything["event_weight"] > 0:
        count = everything["event_weight"] ** 2 / everything["event_squares"] * repeats
        recall = wilson(mine["event_weight"] / everything["event_weight"], count)
    weight = mine["weight"]
    hits = Share(weight * precision.value, weight * precision.low, weight * precision.high)
    return CameTrue(population, users, of, weight, mine["expected"] / weight, precision, hits, recall)
