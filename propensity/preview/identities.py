"""What `check` shows of ids that belong to one person."""

import polars as pl
from rich.console import RenderableType

from features.engines.duckdb import quote
from features.event_store.stored_events import StoredEvents
from features.expressions.expression import Expression
from features.identities.links import REFUSED
from features.proposal.ids import OTHER_IDS
from features.proposal.seen import snake
from features.reading.columns import mapped_columns
from features.reading.look import Look
from propensity.console import table


def people(store: StoredEvents) -> dict[str, object] | None:
    """How many ids were merged into how many people, and what was refused; None where the definition merges none."""
    if store.log.definition.identities is None:
        return None
    who = store.people.at(store.ends)
    several = who.filter(pl.col("id") != pl.col("user"))
    refused = store.people.links.refused if store.people else REFUSED.to_frame()
    by_reason = refused.group_by("reason").agg(pl.len().alias("merges"), pl.first("alias"), pl.first("user"))
    return {
        "persons_of_several_ids": several["user"].n_unique(),
        "ids_merged": len(several),
        "most_ids": 1 + max(several["user"].value_counts()["count"].to_list(), default=0),
        "refused": [
            {"reason": row["reason"], "merges": row["merges"], "example": f"{row['alias']} into {row['user']}"}
            for row in by_reason.sort("merges", "reason", descending=[True, False]).to_dicts()
        ],
    }


def shown_people(found: dict[str, object] | None) -> list[RenderableType]:
    """The same as a line, and a table of what was refused."""
    if found is None:
        return []
    line = (
        f"[bold]People[/]: {found['ids_merged']:,} ids were merged into {found['persons_of_several_ids']:,} others, at "
        f"most {found['most_ids']} are one person; a row knows a merge from the moment on at which it was known."
    )
    refused = found["refused"]
    rows = pl.DataFrame(refused) if isinstance(refused, list) and refused else None
    return [line, *([table("Merges that were refused", rows)] if rows is not None else [])]


def unmerged(log: Look) -> list[str]:
    """A warning where rows hold a second id of their user, and nothing is made of it."""
    definition = log.definition
    if definition.identities is not None:
        return []
    used = set(mapped_columns(definition).values())
    user = definition.events.columns.user
    for name in log.columns:
        if snake(name) not in OTHER_IDS or name in used or user not in log.columns:
            continue
        here, there = (f"CAST({quote(column)} AS VARCHAR)" for column in (name, user))
        if log.texts_in(name, Expression(f"{here} <> {there}"), 1):
            return [
                f"Rows hold a second id of their user in column {name!r}. Who acts under both is two users: "
                f"add identities: {{alias: {name}}} to make them one from the moment on at which both were seen."
            ]
    return []
