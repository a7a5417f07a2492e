"""Payments that a log has several times: as the charge, the payment and the invoice of the same money."""

from collections.abc import Sequence

from features.engines.duckdb import Connection, rows_of, text
from features.proposal.columns import Columns
from features.proposal.events.kinds import Kind
from features.time import MINUTE

#: of the rows of a kind that is the same again, this share has a row of the other kind
SAME = 0.9


def repeats(connection: Connection, columns: Columns, purchase: Sequence[Kind]) -> list[Kind]:
    """The kinds of purchases that are others again: of the same user, of the same amount, within a minute.

    Of each such group the most frequent kind is no repeat.

    Args:
        connection: holds the table ``named`` with ``u``, ``e``, ``t`` in microseconds, and the columns.
        columns: what the log's columns are.
        purchase: what was bought or paid.
    """
    kept: list[Kind] = []
    again: list[Kind] = []
    for kind in sorted(purchase, key=lambda one: -one.rows):
        same = any(_share(connection, columns, kind, other) >= SAME for other in kept)
        (again if same else kept).append(kind)
    return again


def _share(connection: Connection, columns: Columns, kind: Kind, other: Kind) -> float:
    """Which share of a kind's rows with an amount has a row of another kind."""
    if kind.worth is None or kind.worth != other.worth:
        return 0.0
    amount = columns.seen[kind.worth].number

    def rows(one: Kind) -> str:
        return f"(SELECT u, t, {amount} AS v FROM named WHERE e = {text(one.name)} AND {amount} <> 0)"

    [(share,)] = rows_of(
        connection,
        f"SELECT count(*) FILTER (EXISTS (SELECT 1 FROM {rows(other)} AS o WHERE o.u = k.u AND o.v = k.v "
        f"AND abs(o.t - k.t) <= {MINUTE})) / greatest(count(*), 1) FROM {rows(kind)} AS k",
    )
    return float(share)
