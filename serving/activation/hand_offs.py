"""Treatment: whose transitions went to a destination, who was held out, and who had nothing to hand off."""

import math
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import polars as pl

from features.definition.dimension import Dimension
from features.definition.schema import Definition
from features.definition.sections.experiment import NOTHING
from segments.holdout import held_out_share
from segments.transitions.transition import Transition
from segments.variants import Trial, sends, trials
from serving.activation.memberships import Memberships

#: treated; held out of every transition that a destination wants; no such transition; in both arms (not used)
HANDED_OFF, HELD_OUT, LEFT_ALONE, BOTH_ARMS = "handed off", "held out", "left alone", "both arms"

#: transitions looked at together
_RUN: Final = 50_000

#: transitions that a destination wants
MOVES: Final = pl.Schema(
    {"user": pl.String(), "moved": pl.Int64(), "held_out": pl.Boolean(), "share": pl.Float64(),
     "dimension": pl.String()}
)  # fmt: skip

#: the same of those that enter an audience; ``both_arms`` where the user was in the other arm under another id
ENTRIES: Final = pl.Schema(
    {"user": pl.String(), "at": pl.Int64(), "held_out": pl.Boolean(), "share": pl.Float64(),
     "dimension": pl.String(), "audience": pl.String(), "both_arms": pl.Boolean()}
)  # fmt: skip


class HandOffs:
    """Transitions that destinations want.

    Args:
        definition: its destinations and shares that are held out.
        memberships: tells who moved, and who is held out.
    """

    def __init__(self, definition: Definition, memberships: Memberships) -> None:
        self._definition, self._memberships, self._trials = definition, memberships, trials(definition)
        self._acting = {name: d for name, d in definition.destinations.items() if d.kind != "notice"}

    def populations(self, rows: pl.DataFrame, moves: pl.DataFrame, window: int) -> pl.DataFrame:
        """Add each row's population and weight.

        Held-out users stand for treated ones: their weight is one over the probability of being held out of every
        dimension that moved (Horvitz and Thompson 1952).

        Args:
            rows: ``user`` and ``at``.
            moves: as `moves` reads them since the earliest row.
            window: transitions in ``[at, at + window)`` count.

        Returns:
            The rows with ``population`` and ``weight``, 0 for treated users and those in both arms.
        """
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

    def entries(self, since: int) -> pl.DataFrame:
        """Each time a user entered what a destination receives.

        Args:
            since: not before this instant.

        Returns:
            `ENTRIES`, and of each outcome ``p_<outcome>``, what was predicted then; null where nothing was.
        """
        outcomes = list(self._definition.outcomes)
        schema = pl.Schema({**ENTRIES, **{f"p_{name}": pl.Float64() for name in outcomes}})
        parts = [schema.to_frame()]
        for asked in self._wanted(since):
            entered = [t for t in asked if t.after is not None]
            mixed = self._memberships.mixed([t.user for t in entered])
            names = [Dimension(t.dimension).named(t.after or "") for t in entered]
            both = [t.dimension in mixed.get(t.user, ()) for t in entered]
            predicted = {f"p_{name}": [t.scores_after.get(name) for t in entered] for name in outcomes}
            more: dict[str, list[Any]] = {"audience": names, "both_arms": both, **predicted}
            parts.append(self._frame(entered).rename({"moved": "at"}).with_columns(
                pl.Series(name, values, schema[name]) for name, values in more.items()
            ).select(schema.names()))  # fmt: skip
        return pl.concat(parts)

    def moves(self, start: int) -> pl.DataFrame:
        """Transitions since an instant that a destination wants, and whether the user was held out: `MOVES`.

        Users to whom experiments have assigned nothing at all count as held out.
        """
        moved = pl.concat([MOVES.to_frame(), *(self._with_experiments(asked) for asked in self._wanted(start))])
        enrolled = [self._enrolled(one, start) for one in self._trials.values()]
        there = pl.concat([MOVES.to_frame(), *enrolled])
        return pl.concat([moved, there.join(moved, on=["user", "moved", "dimension"], how="anti")])

    def _enrolled(self, trial: Trial, start: int) -> pl.DataFrame:
        """Users whom an experiment has assigned; of those who were in its audience already there is no transition."""
        dimension = trial.rule.dimension
        h, nothing = held_out_share(self._definition, dimension), trial.rule.variants[NOTHING]
        rows = self._memberships.assigned(trial.id).filter(pl.col("at") >= start)
        return rows.select(
            "user", moved="at", held_out=pl.col("variant") == NOTHING, share=pl.lit(h + (1 - h) * nothing),
            dimension=pl.lit(str(dimension)),
        ).cast(MOVES)  # fmt: skip

    def _with_experiments(self, asked: list[Transition]) -> pl.DataFrame:
        """The frame of transitions, where arms of experiments that are sent nothing are held out, too."""
        frame = self._frame(asked)
        if not self._trials:
            return frame
        assigned = self._memberships.decided(asked)
        held, shares = frame["held_out"].to_list(), frame["share"].to_list()
        for i, (t, found) in enumerate(zip(asked, assigned, strict=True)):
            wanting = [name for name, d in self._acting.items() if d.wants(t.dimension, t.before, t.after)]
            chance = [self._nothing(name, t) for name in wanting]
            if all(chance):
                shares[i] += (1 - shares[i]) * math.prod(chance)
            held[i] = held[i] or all(name in found and not sends(found[name].variant) for name in wanting)
        return frame.with_columns(held_out=pl.Series(held, dtype=pl.Boolean), share=pl.Series(shares, dtype=pl.Float64))

    def _nothing(self, destination: str, t: Transition) -> float:
        """The share of whom an experiment keeps from a destination; 0 where none decides about a transition."""
        shares = (
            one.rule.variants[NOTHING] for one in self._trials.values()
            if one.rule.destination == destination and one.touches(t.dimension, t.before, t.after)
            and one.rule.recruits(t.at)
        )  # fmt: skip
        return next(shares, 0.0)

    def _wanted(self, start: int) -> Iterator[list[Transition]]:
        """Transitions since an instant that a destination wants, some at a time."""
        wanted, after = list(self._acting.values()), 0
        while wanted and (some := self._memberships.history(since=start, after=after, limit=_RUN)):
            after = some[-1].id
            yield [t for t in some if any(d.wants(t.dimension, t.before, t.after) for d in wanted)]

    def _frame(self, asked: list[Transition]) -> pl.DataFrame:
        users, dimensions = [t.user for t in asked], [t.dimension for t in asked]
        known = np.array([name in self._memberships.arms.known for name in dimensions], dtype=np.bool_)
        held = np.zeros(len(asked), dtype=np.bool_)
        at = np.flatnonzero(known).tolist()
        held[at] = self._memberships.held_out([users[i] for i in at], [dimensions[i] for i in at])
        shares = [held_out_share(self._definition, name) for name in dimensions]
        columns = {"user": users, "moved": [t.at for t in asked], "held_out": held, "share": shares,
                   "dimension": dimensions}  # fmt: skip
        return pl.DataFrame(columns, schema=MOVES)
