"""Which condition speaks of which column: made once of a definition, for writing and for reading."""

from collections.abc import Iterator
from typing import Any

import polars as pl
from sqlglot import exp

from features.definition.file.load import rule_columns
from features.definition.memoise import kept
from features.definition.schema import Definition
from features.errors import DefinitionError
from features.expressions.expression import Expression
from features.time import span_name
from serving.audience.sentences.tree import Amount, Answer, Did, Lead, Number, Recency, RfmGroup, State, Tier, Trait

#: a kind of condition and what it says of its column
Subject = tuple[type[Any], tuple[tuple[str, str | None], ...]]

_MOMENTS = {"last": "{}", "first": "first_{}", "comeback": "comeback_{}", "last_kept": "kept_{}",
            "first_kept": "first_kept_{}"}  # fmt: skip
_COUNTED = {"times": "count", "days": "active_days", "kept": "kept", "kept_days": "kept_days", "sessions": "sessions"}


@kept
def subjects(definition: Definition) -> dict[str, Subject]:
    """What each column that a segment may name is the column of."""
    schema = rule_columns(definition, True)
    named = {column: subject for column, subject in _named(definition) if column in schema}
    return {name: named.get(name) or (Number, (("column", name),)) for name in schema}


@kept
def _columns(definition: Definition) -> dict[Subject, str]:
    return {subject: column for column, subject in subjects(definition).items()}


@kept
def texts(definition: Definition) -> frozenset[str]:
    """The columns of text."""
    return frozenset(name for name, dtype in rule_columns(definition, True).items() if dtype == pl.String())


def column_of(kind: type[Any], definition: Definition, **names: str | None) -> str:
    """The column that a condition speaks of.

    Raises:
        DefinitionError: the definition has none.
    """
    column = _columns(definition).get((kind, tuple(names.items())))
    if column is None:
        what = ", ".join(f"{key} {value!r}" for key, value in names.items() if value is not None)
        windows = ", ".join(span_name(window) for window in definition.windows)
        raise DefinitionError(
            f"there is no column for a condition with {what}.",
            fix=f"signals are {', '.join(definition.signals)}; windows are {windows}; outcomes are "
            f"{', '.join(definition.outcomes)}",
        )
    return column


def quoted(column: str) -> str:
    """A column as SQL writes it: in quotes where it is a word of SQL's own."""
    return column if Expression(column).is_column else str(exp.column(column, quoted=True).sql("duckdb"))


def _named(definition: Definition) -> Iterator[tuple[str, Subject]]:
    """The columns that have conditions of their own; some are not there for each definition."""
    windows: list[str | None] = [*map(span_name, definition.windows), None]
    for signal, rule in definition.signals.items():
        for window in windows:
            end = window or "total"
            for counted, family in _COUNTED.items():
                yield f"{signal}_{family}_{end}", (
                    Did, (("signal", signal), ("counted", counted), ("window", window)),
                )  # fmt: skip
            for of in ("value", *rule.more_values):
                yield f"{signal}_{of}_{end}", (Amount, (("signal", signal), ("of", of), ("window", window)))
        for moment, name in _MOMENTS.items():
            yield f"days_since_{name.format(signal)}", (Recency, (("signal", signal), ("moment", moment)))
    yield "state", (State, ())
    yield "rfm_group", (RfmGroup, ())
    for outcome, question in definition.outcomes.items():
        yield f"{outcome}_tier", (Tier, (("outcome", outcome),))
        for measure in (question.answer, "percentile"):
            yield f"{outcome}_{measure}", (Answer, (("outcome", outcome), ("measure", measure)))
    for trait in definition.traits.fields if definition.traits else ():
        yield trait, (Trait, (("trait", trait),))
    for experiment in definition.uplifts:
        yield f"{experiment}_uplift_tier", (Tier, (("outcome", f"{experiment}_uplift"),))
    for lead in definition.leads:
        yield f"{lead}_points", (Lead, (("lead", lead),))
