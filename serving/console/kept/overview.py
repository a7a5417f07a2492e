"""Overviews: how many users the newest batch found in what, counted once a batch."""

import logging
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from features.definition.schema import Definition
from features.definition.sections.outcome import Outcome
from features.errors import PropensityError
from features.time import DAY, to_instant
from serving.activation.memberships import Memberships
from serving.audience.population import Population
from serving.audience.published import Found, found_by, published_since
from serving.scoring.earlier.batch import Earlier, answered_in, field_of

log = logging.getLogger("propensity")

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
        population: the columns of the newest batch, of which users of segments are found that were published since.
        before: what is shown until the batch is counted by this definition; without it the first visit waits.
    """

    def __init__(
        self, definition: Definition, scores: Path, memberships: Memberships, population: Population,
        before: Overview | None = None,
    ) -> None:  # fmt: skip
        self._definition, self._scores, self._memberships = definition, scores, memberships
        self._population = population
        self._lock, self._sorting = threading.Lock(), threading.Lock()
        self._kept: tuple[object, Overview | None] = (None, before)
        self._sorted: dict[str, tuple[object, pl.Series]] = {}

    def newest(self) -> Overview | None:
        """The overview of the newest batch; None before the first.

        While it is counted, which takes seconds of a million users, it is still the one before.
        """
        batch, recorded = Earlier.newest(self._scores), self._memberships.last()
        if batch is None:
            return None
        key = (batch.as_of, batch.stamp, self._population.stamp, recorded)
        kept = self._kept
        if kept[1] is None:
            return self._counted(key, batch)
        if kept[0] != key and not self._lock.locked():
            threading.Thread(target=self._renew, args=(key, batch), name="overview", daemon=True).start()
        return kept[1]

    def _counted(self, key: object, batch: Earlier) -> Overview:
        with self._lock:  # who comes meanwhile waits for the first, and does not count again
            known, overview = self._kept
            if known != key or overview is None:
                overview = self._count(batch)
                self._kept = (key, overview)
            return overview

    def _renew(self, key: object, batch: Earlier) -> None:
        try:
            self._counted(key, batch)
        except PropensityError as error:  # the one before stays, and the next page tries again
            log.warning("the newest batch cannot be counted: %s", error)

    def _count(self, batch: Earlier) -> Overview:
        names = list(self._definition.segments)
        with batch.reading() as records:
            answered = answered_in(self._definition, records)
            tiers = {name: field_of(rule, name, "tier").alias(f"tier {name}") for name, rule in answered.items()}
            group = pl.col("rfm").struct.field("group").alias("group")
            frame = records.select("user_id", "state", group, "segments", "holdout", *tiers.values()).collect()
        for name in published_since(self._population):
            frame = _with_published(frame, name, found_by(self._population, name))
        together = _together(frame["segments"], names)
        held_out = _counts(frame["holdout"].explode(), names)
        return Overview(
            as_of=batch.as_of,
            users=len(frame),
            states=_counts(frame["state"], self._definition.states),
            groups=_counts(frame["group"], ()),
            tiers={name: _counts(frame[f"tier {name}"], ()) for name in tiers},
            segments={name: int(together[i, i]) for i, name in enumerate(names)},
            held_out={name: held_out[name] for name in names},
            together=together,
            flows=self._memberships.flows(to_instant(batch.as_of) - WEEK),
        )

    @property
    def shown(self) -> Overview | None:
        """The one that was counted last."""
        return self._kept[1]

    def likelihoods(self, outcome: str) -> tuple[datetime, pl.Series] | None:
        """Everybody's probability of an outcome, sorted; and of when. None before the first batch that answers it."""
        batch, rule = Earlier.newest(self._scores), self._definition.outcomes[outcome]
        if batch is None or not isinstance(rule, Outcome):
            return None
        key = (batch.as_of, batch.stamp)
        with self._sorting:
            if (kept := self._sorted.get(outcome)) is None or kept[0] != key:
                with batch.reading() as records:
                    if outcome not in answered_in(self._definition, records):
                        return None
                    answers = records.select(field_of(rule, outcome, "probability").alias("p")).collect()["p"]
                kept = self._sorted[outcome] = (key, answers.drop_nulls().sort())
        return batch.as_of, kept[1]


def _with_published(frame: pl.DataFrame, name: str, found: Found) -> pl.DataFrame:
    """The records with a segment that was published since: its users by its rule of today."""
    named = pl.lit([name], dtype=pl.List(pl.String))
    without = [pl.col(column).list.set_difference(named) for column in ("segments", "holdout")]
    inside = [pl.col("user_id").is_in(users.implode()) for users in (found.users, found.held_out)]
    return frame.with_columns(
        pl.when(holds).then(pl.concat_list(others, named)).otherwise(others)
        for holds, others in zip(inside, without, strict=True)
    )


def _together(segments: pl.Series, names: Sequence[str]) -> NDArray[np.int64]:
    """How many users are in two segments, ``[segments, segments]``; those of an earlier definition do not count."""
    known = pl.DataFrame({"row": np.arange(len(segments)), "name": segments}).explode("name")
    known = known.filter(pl.col("name").is_in(list(names)))
    codes = known["name"].cast(pl.Enum(list(names))).to_physical().to_numpy()
    inside = np.zeros((len(segments), len(names)), dtype=np.float32)
    inside[known["row"].to_numpy(), codes] = 1
    found: NDArray[np.int64] = np.rint(inside.T @ inside).astype(np.int64)
    return found


def _counts(values: pl.Series, order: Iterable[str]) -> dict[str, int]:
    """How often each value is there: in an order, and what is not in it after that, the most frequent first."""
    found = dict(values.drop_nulls().value_counts(sort=True).iter_rows())
    first = {name: int(found.get(name, 0)) for name in order}
    return first | {name: int(count) for name, count in found.items() if name not in first}
