"""Overviews: how many users the newest batch found in what, counted once a batch."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from features.definition.schema import Definition
from features.definition.sections.outcome import Outcome
from features.events.write import part_files
from features.time import DAY, to_instant
from serving.activation.memberships import Memberships
from serving.scoring.previous import Earlier, answered_in, field_of

#: what is called the last week
WEEK = 7 * DAY


@dataclass(frozen=True)
class Overview:
    """What the newest batch found.

    Attributes:
        as_of: the instant of the batch.
        users: how many were scored.
        states: users by state, in the definition's order.
        groups: users by RFM group.
        tiers: users by tier, by outcome.
        segments: users by segment, in the definition's order.
        held_out: users who are held out of each segment.
        together: users who are in two segments, ``[segments, segments]``.
        flows: transitions of the last week: ``dimension, before, after, cause, users``.
    """

    as_of: datetime
    users: int
    states: Mapping[str, int]
    groups: Mapping[str, int]
    tiers: Mapping[str, Mapping[str, int]]
    segments: Mapping[str, int]
    held_out: Mapping[str, int]
    together: NDArray[np.int64]
    flows: pl.DataFrame


class Overviews:
    """Counts each batch once.

    Args:
        definition: its states and segments.
        scores: the folder of the batches' scores.
        memberships: know the transitions.
    """

    def __init__(self, definition: Definition, scores: Path, memberships: Memberships) -> None:
        self._definition, self._scores, self._memberships = definition, scores, memberships
        self._lock = threading.Lock()
        self._kept: tuple[object, Overview | None] = (None, None)
        self._sorted: dict[str, tuple[object, pl.Series]] = {}

    def newest(self) -> Overview | None:
        """The overview of the newest batch; None before the first."""
        batch, recorded = Earlier.newest(self._scores), self._memberships.last()
        if batch is None:
            return None
        key = (*_stamp(batch), recorded)
        with self._lock:  # who comes meanwhile waits for the first, and does not count again
            if self._kept[0] != key:
                self._kept = (key, self._count(batch))
            return self._kept[1]

    def _count(self, batch: Earlier) -> Overview:
        names = list(self._definition.segments)
        with batch.reading() as records:
            answered = answered_in(self._definition, records)
            tiers = {name: field_of(rule, name, "tier").alias(f"tier {name}") for name, rule in answered.items()}
            group = pl.col("rfm").struct.field("group").alias("group")
            inside = [pl.col("segments").list.contains(name).alias(f"in {name}") for name in names]
            out = [pl.col("holdout").list.contains(name).sum().alias(name) for name in names]
            frame = records.select("state", group, *tiers.values(), *inside).collect()
            held_out = records.select(out).collect().row(0, named=True) if names else {}
        matrix = frame.select(f"in {name}" for name in names).to_numpy().astype(np.float32)
        together = np.rint(matrix.T @ matrix).astype(np.int64) if names else np.zeros((0, 0), dtype=np.int64)
        return Overview(
            as_of=batch.as_of,
            users=len(frame),
            states=_counts(frame["state"], self._definition.states),
            groups=_counts(frame["group"], ()),
            tiers={name: _counts(frame[f"tier {name}"], ()) for name in tiers},
            segments={name: int(together[i, i]) for i, name in enumerate(names)},
            held_out={name: int(count or 0) for name, count in held_out.items()},
            together=together,
            flows=self._memberships.flows(to_instant(batch.as_of) - WEEK),
        )

    def likelihoods(self, outcome: str) -> tuple[datetime, pl.Series] | None:
        """Everybody's probability of an outcome, sorted; and of when. None before the first batch that answers it."""
        batch, rule = Earlier.newest(self._scores), self._definition.outcomes[outcome]
        if batch is None or not isinstance(rule, Outcome):
            return None
        key = _stamp(batch)
        with self._lock:
            if (kept := self._sorted.get(outcome)) is None or kept[0] != key:
                with batch.reading() as records:
                    if outcome not in answered_in(self._definition, records):
                        return None
                    answers = records.select(field_of(rule, outcome, "probability").alias("p")).collect()["p"]
                kept = self._sorted[outcome] = (key, answers.drop_nulls().sort())
        return batch.as_of, kept[1]


def _stamp(batch: Earlier) -> tuple[object, ...]:
    """What changes with the files of a batch: a newer batch, and an erasure."""
    return (batch.path, batch.path.stat().st_mtime_ns, *(file.stat().st_mtime_ns for file in part_files(batch.path)))


def _counts(values: pl.Series, order: Mapping[str, object] | tuple[str, ...]) -> dict[str, int]:
    """How often each value is there: in an order, and what is not in it after that, the most frequent first."""
    found = dict(values.drop_nulls().value_counts(sort=True).iter_rows())
    return {name: int(found.get(name, 0)) for name in order} | {n: int(c) for n, c in found.items() if n not in order}
