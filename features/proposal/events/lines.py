"""Orders: which column names those whose rows are lines, and which orders are worth much."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from features.engines.duckdb import Connection, quote, rows_of, text
from features.proposal.columns import Columns
from features.proposal.events.kinds import Kind, Signals
from features.proposal.seen import snake

_ORDER = r"(order|invoice|basket|receipt|transaction|cart|checkout|bill)(_?(id|no|nr|num|number|key|ref))?"

#: of the rows of purchases so many name their order, and there are so many more rows than orders
NAMED, MORE = 0.95, 1.05

#: of the users who bought, this share have orders of less than the limit of large ones, on average
BELOW = 0.8

#: orders of more than one user are few: else the column says something else
SHARED = 0.01


@dataclass(frozen=True, slots=True)
class Lines:
    """Rows that are lines of orders.

    Attributes:
        column: the column that names the order.
        rows: rows of purchases that name one.
        orders: how many orders these are.
    """

    column: str
    rows: int
    orders: int


def order_columns(columns: Columns) -> list[str]:
    """The columns whose names are those of an order."""
    others = {guess.column for guess in columns.guesses.values()}
    return [name for name in columns.seen if name not in others and re.fullmatch(_ORDER, snake(name))]


def order_lines(connection: Connection, columns: Columns, purchase: Sequence[Kind]) -> Lines | None:
    """The column that names the order of each purchase, where orders have several rows; None where there is none.

    Args:
        connection: holds the table ``named`` with ``u``, ``e`` and the columns.
        columns: what the log's columns are.
        purchase: what was bought or paid.
    """
    bought = ", ".join(text(kind.name) for kind in purchase)
    for name in order_columns(columns) if purchase else ():
        column = quote(name)
        [(rows, named, orders, of_users)] = rows_of(
            connection,
            f"SELECT count(*), count({column}), count(DISTINCT {column}), count(DISTINCT (u, {column})) "
            f"FILTER ({column} IS NOT NULL) FROM named WHERE u IS NOT NULL AND e IN ({bought})",
        )
        if named >= NAMED * max(rows, 1) and named > MORE * orders and of_users <= (1 + SHARED) * orders:
            return Lines(name, named, orders)
    return None


def large_order(connection: Connection, columns: Columns, signals: Signals, lines: Lines | None) -> float | None:
    """From how much on an order is a large one: a fifth of the users who bought spend as much an order on average.

    Rounded to two digits; None where purchases have no value.

    Args:
        connection: holds the table ``named`` with ``u``, ``e`` and the columns.
        columns: what the log's columns are.
        signals: what its events are.
        lines: which rows are one order.
    """
    if signals.worth is None:
        return None
    bought = ", ".join(text(kind.name) for kind in signals.purchase)
    value = columns.seen[signals.worth].number
    orders = f"count(DISTINCT {quote(lines.column)})" if lines is not None else "count(*)"
    [(limit,)] = rows_of(
        connection,
        f"SELECT quantile_disc(average, {BELOW}) FROM (SELECT sum({value}) / {orders} AS average FROM named "
        f"WHERE u IS NOT NULL AND e IN ({bought}) AND isfinite({value}) GROUP BY u) WHERE average > 0",
    )
    return _rounded(limit) if limit is not None and math.isfinite(limit) else None


def _rounded(value: float) -> float:
    return float(f"{value:.2g}")
