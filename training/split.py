"""Splitting by time, purged: no slice learns from a label that reaches into the next."""

from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
import polars as pl

from features.errors import RefusalError
from features.time import Instants, span_name

#: slices of a data set, oldest first; ``stop`` and ``calibrate`` share their cutoffs and split the users
NAMES = ("fit", "stop", "calibrate", "test")

ADJUST_SHARE, TEST_SHARE = 0.2, 0.15


@dataclass(frozen=True, slots=True)
class Split:
    """Cutoffs of each period, ascending, oldest period first.

    Attributes:
        fit: the models are fitted here.
        adjust: half of the users decide when boosting stops and how the models are blended, the other half the
            calibration, tier cut-offs and percentiles. One period for both, because every purge costs a horizon of
            the newest data.
        test: judged here, and nowhere else; its newest cutoff is the newest matured one.
    """

    fit: Instants
    adjust: Instants
    test: Instants


def split(cutoffs: Instants, purge: int, *, outcome: str) -> Split:
    """Split cutoffs by time.

    Args:
        cutoffs: ascending.
        purge: gap + horizon + maturity: at least this long from the last cutoff of a period to the first of the next.
        outcome: for the error.

    Raises:
        RefusalError: ``log_too_short``: three periods do not fit.
    """
    adjusting, testing = (max(1, round(len(cutoffs) * share)) for share in (ADJUST_SHARE, TEST_SHARE))
    while len(cutoffs):
        test = cutoffs[-testing:]
        before = cutoffs[cutoffs + purge <= test[0]]
        adjust = before[-adjusting:]
        fit = before[before + purge <= adjust[0]] if adjust.size else adjust
        if fit.size >= max(adjust.size, test.size, 1):
            return Split(fit, adjust, test)
        if adjusting == testing == 1:
            break
        adjusting, testing = max(1, adjusting - 1), max(1, testing - 1)
    found = span_name(int(cutoffs[-1] - cutoffs[0])) if cutoffs.size else "0d"
    raise RefusalError(
        "log_too_short",
        found=f"{len(cutoffs)} matured cutoffs over {found} for {outcome}",
        needed=f"cutoffs over at least {span_name(2 * purge)}, so that three periods lie {span_name(purge)} apart",
        fix="shorten 'within', raise snapshots.count, lower snapshots.warm_up, or bring a longer log",
    )


def share_of(users: pl.Series, seed: int) -> pl.Series:
    """A number in [0, 1) for each user that stays the user's own, on every machine and in every version."""

    def number(user: str) -> float:
        return int.from_bytes(blake2b(f"{seed}:{user}".encode(), digest_size=8).digest(), "big") / 2**64

    each = users.unique()
    return users.replace_strict(each, [number(user) for user in each], return_dtype=pl.Float64)


def slices(rows: pl.DataFrame, parts: Split, unseen_share: float) -> pl.DataFrame:
    """Add ``slice`` (null for purged cutoffs) and ``unseen``: users that no slice but the test may hold."""
    periods = {"fit": parts.fit, "adjust": parts.adjust, "test": parts.test}
    instants = pl.Series(np.concatenate(list(periods.values())))
    names = pl.Series(np.repeat(list(periods), [p.size for p in periods.values()]))
    period = rows["cutoff"].dt.epoch("us").replace_strict(instants, names, default=None, return_dtype=pl.String)
    adjust = pl.when(share_of(rows["user"], 2) < 0.5).then(pl.lit("stop")).otherwise(pl.lit("calibrate"))
    rows = rows.with_columns(period.alias("slice"), (share_of(rows["user"], 1) < unseen_share).alias("unseen"))
    return rows.with_columns(pl.when(pl.col("slice") == "adjust").then(adjust).otherwise("slice").alias("slice"))
