"""The numbers that are read of each event beside its time and signals: what it is worth, and keys of its properties."""

from dataclasses import dataclass

from features.definition.memoise import kept
from features.definition.schema import Definition
from features.expressions.expression import Expression

#: for how many months a row of a plan's charge pays
MONTHS = "recurring.months"


@dataclass(frozen=True, slots=True)
class EventNumber:
    """A number of each event of a signal.

    Attributes:
        signal: the signal's name.
        part: where it stands in the definition of the signal: ``value``, ``more_values.items``, ``distinct.brand``,
            ``order``, ``recurring.months``.
        sql: the expression over the log's columns.
        key: a text or number becomes a key that tells it from others; else it is a number.
        currency: the column that names the currency of an amount.
    """

    signal: str
    part: str
    sql: Expression
    key: bool = False
    currency: str | None = None

    @property
    def place(self) -> str:
        """Where it stands in the definition."""
        return f"signals.{self.signal}.{self.part}"


@kept
def event_numbers(definition: Definition) -> tuple[EventNumber, ...]:
    """The numbers of an event in the order of their columns.

    Values, more values, keys of properties and of orders, and the months that a plan's charge pays for.
    """
    signals = definition.signals.items()
    values = [
        EventNumber(name, "value", rule.value, currency=rule.currency)
        for name, rule in signals
        if rule.value is not None
    ]
    keys = [
        EventNumber(name, f"distinct.{of}", sql, key=True)
        for name, rule in signals
        for of, sql in rule.distinct.items()
    ]
    more = [
        EventNumber(name, f"more_values.{of}", sql) for name, rule in signals for of, sql in rule.more_values.items()
    ]
    orders = [EventNumber(name, "order", rule.order, key=True) for name, rule in signals if rule.order is not None]
    months = [EventNumber(name, MONTHS, rule.recurring.months) for name, rule in signals if rule.recurring is not None]
    return (*values, *more, *keys, *orders, *months)


@kept
def order_keys(definition: Definition) -> tuple[tuple[int, int], ...]:
    """Of each signal whose rows are lines of orders its place, and the column of its orders' keys."""
    places, numbers = list(definition.signals), event_numbers(definition)
    return tuple((places.index(number.signal), i) for i, number in enumerate(numbers) if number.part == "order")


@kept
def refundable(definition: Definition) -> tuple[int, ...]:
    """The places of the signals that say which rows are refunds: of their orders those that stand are counted."""
    return tuple(i for i, rule in enumerate(definition.signals.values()) if rule.refund is not None)


@kept
def plan_months(definition: Definition) -> tuple[tuple[int, int], ...]:
    """Of each signal that is a plan's charge its place, and the column of the months that a row pays for."""
    places, numbers = list(definition.signals), event_numbers(definition)
    return tuple((places.index(number.signal), i) for i, number in enumerate(numbers) if number.part == MONTHS)


def number_columns(definition: Definition) -> set[str]:
    """The columns of the log from which numbers of events are read."""
    numbers = event_numbers(definition)
    currencies = {number.currency for number in numbers if number.currency is not None}
    return currencies.union(*(number.sql.columns for number in numbers))


def typed_number_columns(definition: Definition) -> set[str]:
    """Those of them whose type matters; properties that are columns are counted as they are written."""
    asked = [number for number in event_numbers(definition) if not (number.key and number.sql.is_column)]
    return set().union(*(number.sql.columns for number in asked))


def added_columns(definition: Definition) -> set[str]:
    """The columns whose values are added up."""
    added = [number for number in event_numbers(definition) if not number.key and number.part != MONTHS]
    return set().union(*(number.sql.columns for number in added))
