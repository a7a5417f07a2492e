"""Transitions as rows of their table."""

import json
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

import polars as pl
import sqlalchemy as sa

from segments.transitions.transition import Transition
from serving.database.activation_tables import transitions
from serving.database.tables import chunks


def append(connection: sa.Connection, made: Sequence[Transition]) -> list[Transition]:
    """Append transitions; they come back with their numbers."""
    numbers: list[int] = []
    for some in chunks(made):
        add = sa.insert(transitions).returning(transitions.c.id, sort_by_parameter_order=True)
        numbers += connection.scalars(add, [_row(transition) for transition in some])
    return [replace(transition, id=number) for transition, number in zip(made, numbers, strict=True)]


def movements(
    connection: sa.Connection, kinds: Collection[str], *, after: int, limit: int
) -> tuple[int | None, pl.DataFrame]:
    """Some transitions in their order, without their scores.

    Args:
        connection: where they are read.
        kinds: of which kinds of dimensions, such as ``states`` and ``segments``.
        after: only those with a higher number.
        limit: how many at most.

    Returns:
        The highest number among them, None where there are none; and ``at, dimension, before, after``.
    """
    t = transitions.c
    named = [sa.or_(t.dimension == kind, t.dimension.startswith(f"{kind}.")) for kind in kinds]
    asked = sa.select(t.id, t.at, t.dimension, t.before, t.after).where((t.id > after) & sa.or_(*named))
    rows = [tuple(row) for row in connection.execute(asked.order_by(t.id).limit(limit))]
    text = dict.fromkeys(("dimension", "before", "after"), pl.String)
    frame = pl.DataFrame(rows, schema={"id": pl.Int64, "at": pl.Int64, **text}, orient="row")
    return (rows[-1][0] if rows else None), frame.drop("id")


def _row(transition: Transition) -> dict[str, object]:
    return {
        "user_id": transition.user,
        "at": transition.at,
        "dimension": transition.dimension,
        "before": transition.before,
        "after": transition.after,
        "cause": transition.cause,
        "scores_before": json.dumps(dict(transition.scores_before)),
        "scores_after": json.dumps(dict(transition.scores_after)),
        "models": json.dumps(dict(transition.models)),
        "definition": transition.definition,
    }


def transition_of(row: sa.Row[Any]) -> Transition:
    """The transition of a row."""
    return Transition(
        row.user_id,
        row.at,
        row.dimension,
        row.before,
        row.after,
        row.cause,
        json.loads(row.scores_before),
        json.loads(row.scores_after),
        json.loads(row.models),
        row.definition,
        row.id,
    )
