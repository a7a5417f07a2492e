"""A second id of a row's user: which column holds it, and how often both are there."""

from dataclasses import dataclass

from features.engines.duckdb import Connection, quote, rows_of
from features.proposal.columns import Columns
from features.proposal.seen import snake

#: names of columns that hold another id of a row's user
OTHER_IDS = ("anonymous_id", "user_pseudo_id", "device_id", "visitor_id", "domain_userid", "client_id", "previous_id")

#: of the ids so many may have been seen with several users: else the column is no id of a user's device
SHARED = 0.1


@dataclass(frozen=True, slots=True)
class SecondId:
    """A column of second ids.

    Attributes:
        column: its name.
        ids: how many ids there are that were seen with a user of another id.
        users: with how many users.
    """

    column: str
    ids: int
    users: int


def id_columns(columns: Columns) -> list[str]:
    """The columns whose names are those of a second id."""
    others = {guess.column for guess in columns.guesses.values()}
    return [name for name in columns.seen if name not in others and snake(name) in OTHER_IDS]


def second_id(connection: Connection, columns: Columns) -> SecondId | None:
    """The column of second ids that rows hold beside their user's, where there is one.

    Args:
        connection: holds the table ``named`` with ``u`` and the columns.
        columns: what the log's columns are.
    """
    for name in id_columns(columns):
        other = f"CAST({quote(name)} AS VARCHAR)"
        [(ids, users, several)] = rows_of(
            connection,
            f"SELECT count(*), coalesce(sum(n), 0), count(*) FILTER (n > 1) FROM (SELECT {other} AS other, "
            f"count(DISTINCT u) AS n FROM named WHERE u IS NOT NULL AND {other} <> u GROUP BY 1)",
        )
        if ids and several <= SHARED * ids:
            return SecondId(name, int(ids), int(users))
    return None
