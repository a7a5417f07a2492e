"""What a signal is: a kind of event, what an event of it is worth, and which of its properties are counted."""

from collections.abc import Callable
from typing import Annotated

from pydantic import BeforeValidator, Field

from features.definition.sections.base import Name, Sql, Strict


def _named(content: object) -> object:
    """A list of columns as names with their expressions."""
    if not isinstance(content, list):
        return content
    for column in content:
        if not isinstance(column, str):
            raise ValueError(f"{column!r:.60} is not the name of a column; write distinct: [product_id]")
        if content.count(column) > 1:
            raise ValueError(f"{column!r:.60} appears twice")
    return {column: '"' + column.replace('"', '""') + '"' for column in content}


#: what nobody asked for is not written: definitions without it keep their digests
_nothing: Callable[[object], bool] = lambda value: not value  # noqa: E731


class Signal(Strict):
    """A named kind of event: the rows of the log for which a condition holds.

    Attributes:
        where: an SQL condition over the log's columns.
        value: an SQL expression for what one event is worth, such as ``revenue``.
        more_values: further numbers of an event that are added up, as SQL expressions by name, such as
            ``{items: quantity}``.
        distinct: properties whose different values are counted: a list of columns, or SQL expressions by name.
        activity: whether this signal is the sign of life; exactly one signal is.
    """

    where: Sql
    value: Sql | None = None
    more_values: dict[Name, Sql] = Field(default_factory=dict, exclude_if=_nothing)
    distinct: Annotated[dict[Name, Sql], BeforeValidator(_named)] = Field(default_factory=dict, exclude_if=_nothing)
    activity: bool = False
