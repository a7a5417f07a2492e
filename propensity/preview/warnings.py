"""What of a definition and its log deserves a look before anything is trained."""

import difflib
from collections.abc import Sequence

import polars as pl
from sqlglot import exp

from features.definition.schema import Definition
from features.reading.survey import Survey
from segments.rfm import NobodyError, fit_cuts

#: names of events that are listed
LISTED = 30

#: of so few users, ties say nothing
FEW = 100


def silent_signals(definition: Definition, events: Sequence[int], survey: Survey) -> list[str]:
    """Signals that never fire, each with the log's names that are near to those it asks for.

    Args:
        definition: the definition.
        events: how often each signal fires, in its order.
        survey: the log's names of events.
    """
    warnings = []
    folded: dict[str, list[str]] = {}
    for name in survey.events:
        folded.setdefault(_folded(name), []).append(name)
    for (signal, rule), fired in zip(definition.signals.items(), events, strict=True):
        if fired:
            continue
        asked = [str(node.this) for node in rule.where.tree.find_all(exp.Literal) if node.is_string]
        near: dict[str, None] = {}
        for text in asked:
            for key in difflib.get_close_matches(_folded(text), list(folded), n=2, cutoff=0.75):
                near |= dict.fromkeys(name for name in folded[key] if name != text)
        advice = f"; the log has {', '.join(repr(name) for name in near)}" if near else ""
        warnings.append(f"signals.{signal} never fires: {rule.where}{advice}.")
    return warnings


def _folded(text: str) -> str:
    """A name without case, blanks, and marks between words."""
    return "".join(letter for letter in text.lower() if letter.isalnum())


def tied_in_frequency(definition: Definition, rows: Sequence[pl.DataFrame]) -> list[str]:
    """A warning where RFM cannot tell many users apart by how often they were here.

    Args:
        definition: the definition.
        rows: what RFM measures of users at the newest cutoff.
    """
    if definition.rfm is None or not rows:
        return []
    every = pl.concat(rows)
    if len(every) < FEW:
        return []
    try:
        warning = fit_cuts(every, definition.rfm, "the newest cutoff").tie
    except NobodyError:
        return []
    return [warning] if warning else []


def like_ids(users: pl.Series) -> list[str]:
    """A warning about ids that are equal but for case or blanks, where there are any.

    Args:
        users: the distinct users.
    """
    folded = pl.DataFrame({"user": users, "as": users.str.to_lowercase().str.replace_all(r"\s", "")})
    groups = folded.group_by("as").agg(pl.col("user").sort().alias("users")).filter(pl.col("users").list.len() > 1)
    if groups.is_empty():
        return []
    some = groups.sort("as")["users"].to_list()[0]
    alike = int(groups["users"].list.len().sum())
    return [
        f"{alike:,} of {len(users):,} users have an id that is another's but for case or blanks, "
        f"such as {some[0]!r} and {some[1]!r}; they count as different users. Write ids in one way."
    ]


def names_of_events(survey: Survey) -> pl.DataFrame:
    """The most frequent names of events."""
    some = list(survey.events.items())[:LISTED]
    return pl.DataFrame({"event": [name for name, _ in some], "rows": [n for _, n in some]})
