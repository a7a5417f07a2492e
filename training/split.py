"""Splitting by time, purged: no slice learns from a label that reaches into the next."""

from dataclasses import dataclass

import numpy as np
import polars as pl

from features.errors import RefusalError
from features.time import Instants, span_name

NAMES = ("fit", "stop", "calibrate", "test")

#: share of the usable cutoffs that each of the three newest slices takes
NEWER_SHARE = 0.12


@dataclass(frozen=True, slots=True)
class Split:
    """Cutoffs of each slice, ascending, oldest slice first.

    Attributes:
        fit: the models are fitted here.
        stop: decides when boosting stops and how the two models are blended.
        calibrate: calibration, tier cut-offs and percentiles.
        test: judged here, and nowhere else; its newest cutoff is the newest matured one.
    """

    fit: Instants
    stop: Instants
    calibrate: Instants
    test: Instants


def split(cutoffs: Instants, purge: int, *, outcome: str) -> Split:
    """Split cutoffs by time.

    Args:
        cutoffs: ascending.
        purge: gap + horizon + maturity: from the last cutoff of a slice to the first of the next at least this long.
        outcome: for the error.

    Raises:
        RefusalError: ``log_too_short``: four slices do not fit.
    """
    for newer in range(max(1, round(len(cutoffs) * NEWER_SHARE)), 0, -1):
        slices: list[Instants] = []
        rest = cutoffs
        for _ in range(3):
            slices.insert(0, rest[-newer:])
            rest = rest[:-newer]
            rest = rest[rest + purge <= slices[0][0]] if slices[0].size else rest[:0]
        if rest.size >= newer and all(s.size for s in slices):
            return Split(rest, *slices)
    needed = 3 * purge
    found = span_name(int(cutoffs[-1] - cutoffs[0])) if cutoffs.size else "0d"
    raise RefusalError(
        "log_too_short",
        found=f"{len(cutoffs)} matured cutoffs over {found} for {outcome}",
        needed=f"cutoffs over more than {span_name(needed)}, so that four slices lie {span_name(purge)} apart",
        fix="shorten 'within', raise snapshots.count, lower snapshots.warm_up, or bring a longer log",
    )


def unseen(users: pl.Series, share: float) -> pl.Series:
    """Mark the users that no slice but the test may hold; by hash, so that a user stays where they are."""
    return users.hash(seed=20_260_301) % 10_000 < round(share * 10_000)


def slice_of(cutoffs: pl.Series, parts: Split) -> pl.Series:
    """Name the slice of each cutoff; null for those purged."""
    instants = np.concatenate([getattr(parts, name) for name in NAMES])
    names = np.repeat(NAMES, [getattr(parts, name).size for name in NAMES])
    return cutoffs.dt.epoch("us").replace_strict(pl.Series(instants), pl.Series(names), default=None, return_dtype=pl.String)
