"""Treatment: whose transitions went to a destination, who was held out, and who had nothing to hand off."""

from typing import Final

import numpy as np
import polars as pl

from features.definition.dimension import Dimension
from features.definition.schema import Definition
from segments.transitions.transition import Transition
from serving.activation.memberships import Memberships

#: treated; held out of every transition that a destination wants; no such transition; in both arms (not used)
HANDED_OFF, HELD_OUT, LEFT_ALONE, BOTH_ARMS = "handed off", "held out", "left alone", "both arms"

#: transitions looked at together
_RUN: Final = 50_000

MOVES: Final = pl.Schema({"user": pl.String(), "moved": pl.Int64(), "held_out": pl.Boolean(), "share": pl.Float64()})


class HandOffs:
    """Transitions that destinations want.

    Args:
        definition: its destinations and shares that are held out.
        memberships: tells who moved, and who is held out.
    """

    def __init__(self, definition: Definition, memberships: Memberships) -> None:
        self._definition, self._memberships = definition, memberships

    def populations(self, rows: pl.DataFrame, start: int, window: int) -> pl.DataFrame:
        """Add each row's population and weight.

        Held-out users stand for treated ones: their weight is one over the probability of being held out of every
        dimension that moved (Horvitz and Thompson 1952).

        Args:
            rows: ``user`` and ``at``.
            start: no row is earlier than this.
            window: transitions in ``[at, at + window)`` count.

        Returns:
            The rows with ``population`` and ``weight``, 0 for treated users and those in both arms.
        """
        moves = self._moves(start)
        mixed = self._memberships.mixed(rows["user"].unique().to_list())
        asked = rows.select("user", "at").with_row_index("row")
        inside = asked.join(moves, on="user").filter(
            (pl.col("moved") >= pl.col("at")) & (pl.col("moved") < pl.col("at") + window)
        )
        # a dimension that wanted a user twice held them out once
        each = inside.unique(["row", "dimension"])
        of_row = each.group_by("row").agg(pl.col("held_out").all(), chance=pl.col("share").product())
        found = asked.join(of_row, on="row", how="left").sort("row")
        population = (
            pl.when(pl.col("user").is_in(list(mixed))).then(pl.lit(BOTH_ARMS))
            .when(pl.col("held_out").is_null()).then(pl.lit(LEFT_ALONE))
            .when("held_out").then(pl.lit(HELD_OUT)).otherwise(pl.lit(HANDED_OFF))
        )  # fmt: skip
        weight = (
            pl.when(pl.col("population") == LEFT_ALONE).then(1.0)
            .when((pl.col("population") == HELD_OUT) & (pl.col("chance") > 0)).then(1 / pl.col("chance")).otherwise(0.0)
        )  # fmt: skip
        found = found.with_columns(population=population).with_columns(weight=weight)
        return rows.with_columns(found["population"], found["weight"])

    def _moves(self, start: int) -> pl.DataFrame:
        """Transitions since an instant that a destination wants, and whether the user was held out: `MOVES`."""
        wanted = list(self._definition.destinations.values())
        parts, after = [], 0
        while wanted and (some := self._memberships.history(since=start, after=after, limit=_RUN)):
            after = some[-1].id
            asked = [t for t in some if any(d.wants(t.dimension, t.before, t.after) for d in wanted)]
            parts.append(self._frame(asked))
        schema = pl.Schema({**MOVES, "dimension": pl.String()})
        return pl.concat([schema.to_frame(), *parts])

    def _frame(self, asked: list[Transition]) -> pl.DataFrame:
        users, dimensions = [t.user for t in asked], [t.dimension for t in asked]
        known = np.array([self._memberships.arms.known.get(name, -1) for name in dimensions]) >= 0
        held = np.zeros(len(asked), dtype=np.bool_)
        at = np.flatnonzero(known).tolist()
        held[at] = self._memberships.held_out([users[i] for i in at], [dimensions[i] for i in at])
        return pl.DataFrame(
            {"user": users, "moved": [t.at for t in asked], "held_out": held,
             "share": [self._share(name) for name in dimensions], "dimension": dimensions},
            schema={**MOVES, "dimension": pl.String()},
        )  # fmt: skip

    def _share(self, name: str) -> float:
        """The share of a dimension's users who are held out of it."""
        rule = self._definition.segments.get(Dimension(name).of) if Dimension(name).kind == "segments" else None
        own = rule.holdout if rule is not None else None
        return self._definition.transitions.holdout if own is None else own
