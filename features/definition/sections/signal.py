"""What a signal is: a kind of event, what an event of it is worth, and which of its properties are counted."""

from typing import Annotated, Self

from pydantic import BeforeValidator, Field, model_validator

from features.definition.sections.base import Name, Span, Sql, Strict, not_set
from features.time import DAY


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


class Recurring(Strict):
    """A plan's charge that comes again: each row of its signal says what is paid from then on, and for how long.

    Attributes:
        months: an SQL expression for how many months a row's value pays for, such as ``CASE WHEN plan_interval = 'year'
            THEN 12 ELSE 1 END``, or ``"1"``; what is missing or not above 0 counts as 1. A month is 30.4375 days.
        grace: how long the next row may be late before the plan counts as ended.
        over: how long before the cutoff the plan is compared with itself: what is new, more, less, ended or back.
    """

    months: Sql
    grace: Span = 7 * DAY
    over: Span = 30 * DAY

    @model_validator(mode="after")
    def _some_time(self) -> Self:
        if self.over <= 0:
            raise ValueError("'over' is 0; write how long ago the plan is compared with, such as 30d")
        return self


class Signal(Strict):
    """A named kind of event: the rows of the log for which a condition holds.

    Attributes:
        where: an SQL condition over the log's columns.
        value: an SQL expression for what one event is worth, such as ``revenue``. A row whose value is below 0 is a
            refund: it takes its value away and is no event of the signal.
        currency: the column that names the currency of ``value``; ``currencies`` says what each is worth.
        refund: an SQL condition; rows for which it holds are refunds, too: they take their value away, whether it is
            written above or below 0. Of such a signal, orders that stand are counted, too (``<signal>_kept_…``): those
            of which less was given back than they are worth.
        order: an SQL expression for the order that a row is a line of, such as ``order_id``; of a user's rows with the
            same one the first in time is the event, and the others only add what they are worth. Rows without one are
            orders by themselves. A refund with one takes back that order.
        recurring: the value is a plan's charge, and a row with the value 0 ends the plan; a user has one plan at a
            time. It makes the monthly recurring revenue, its moves and the days until renewal (``<signal>_mrr_…``).
        more_values: further numbers of an event that are added up, as SQL expressions by name, such as
            ``{items: quantity}``.
        distinct: properties whose different values are counted: a list of columns, or SQL expressions by name.
        activity: whether this signal is the sign of life; exactly one signal is.
    """

    where: Sql
    value: Sql | None = None
    currency: str | None = Field(default=None, exclude_if=not_set)
    refund: Sql | None = Field(default=None, exclude_if=not_set)
    order: Sql | None = Field(default=None, exclude_if=not_set)
    recurring: Recurring | None = Field(default=None, exclude_if=not_set)
    more_values: dict[Name, Sql] = Field(default_factory=dict, exclude_if=not_set)
    distinct: Annotated[dict[Name, Sql], BeforeValidator(_named)] = Field(default_factory=dict, exclude_if=not_set)
    activity: bool = False

    @property
    def conditions(self) -> tuple[Sql, ...]:
        """The conditions of rows that say something of the signal: ``where``, then ``refund`` if there is one."""
        return (self.where,) if self.refund is None else (self.where, self.refund)

    @model_validator(mode="after")
    def _with_value(self) -> Self:
        for key, sql, why in (
            ("currency", self.currency, "is that of a value"),
            ("refund", self.refund, "takes value away"),
            ("order", self.order, "adds lines up"),
            ("recurring", self.recurring and self.recurring.months, "says for how long a value is paid"),
        ):
            if sql is not None and self.value is None:
                raise ValueError(
                    f"'{key}' ({str(sql)[:60]}) {why}, and the signal has no 'value'; add one, as in value: revenue"
                )
        if self.recurring is not None and self.order is not None:
            raise ValueError(
                f"'order' ({str(self.order)[:60]}) adds lines up, and 'recurring' knows a plan by single rows; "
                "remove one of them, or make a signal of its own for the plan"
            )
        return self
