"""Splitting the rows of an outcome into those that are learnt from and those a procedure is judged on."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl

from features.events.draws import share_of
from features.time import Instants

#: share of the cutoffs, or of the users where time cannot be split, that judge
TEST_SHARE, TEST_USERS = 0.15, 0.3

#: which numbers of a user decide whether nothing but the test may hold it, and whether it judges
_UNSEEN, _JUDGES = 1, 2


@dataclass(frozen=True, slots=True)
class Split:
    """How a procedure is judged.

    Attributes:
        learn: cutoffs to learn from, ascending.
        test: cutoffs to judge on; the newest one is the newest matured one.
        by: ``time``, or ``users`` where the log is too short to leave a label window between two periods, or too small
            to have enough of both answers in both: then both have the same cutoffs, and other users.
    """

    learn: Instants
    test: Instants
    by: Literal["time", "users"] = "time"


def split(cutoffs: Instants, purge: int) -> Split:
    """Split cutoffs by time, or users where that cannot be.

    Args:
        cutoffs: ascending; at least one.
        purge: gap + horizon + maturity: at least this long from the last cutoff learnt from to the first judged on.
    """
    for testing in range(max(1, round(len(cutoffs) * TEST_SHARE)), 0, -1):
        test = cutoffs[-testing:]
        learn = cutoffs[cutoffs + purge <= test[0]]
        if learn.size >= test.size:
            return Split(learn, test)
    return by_users(cutoffs)


def by_users(cutoffs: Instants) -> Split:
    """The split by users, at all cutoffs."""
    return Split(cutoffs, cutoffs, "users")


def least_of(min_positives: int) -> dict[str, int]:
    """How many of either answer a slice needs at least: judging needs fewer than learning."""
    return {"learn": min_positives, "test": max(10, min_positives // 4)}


def slices(rows: pl.DataFrame, parts: Split, unseen_share: float) -> pl.DataFrame:
    """Add ``slice`` and ``unseen``: users that only the test may hold.

    A procedure learns from ``learn`` and is judged on ``test``; the labels of ``between`` reach into the test.
    """
    if parts.by == "users":
        judges = share_of(rows["user"], _JUDGES) < TEST_USERS
        name = pl.when(judges).then(pl.lit("test")).otherwise(pl.lit("learn")).alias("slice")
        return rows.with_columns(name, judges.alias("unseen"))
    instant = pl.col("cutoff").dt.epoch("us")
    test, learn = (instant.is_in(np.asarray(part).tolist()) for part in (parts.test, parts.learn))
    name = pl.when(test).then(pl.lit("test")).when(learn).then(pl.lit("learn")).otherwise(pl.lit("between"))
    return rows.with_columns(name.alias("slice"), (share_of(rows["user"], _UNSEEN) < unseen_share).alias("unseen"))
