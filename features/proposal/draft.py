"""A definition proposed for a log, made of what was found in it."""

from dataclasses import dataclass
from pathlib import Path

from features.engines.duckdb import Connection, connect, quote, reading, text
from features.engines.files import files_of, path_of
from features.engines.tables import Tables
from features.engines.times import time_sql
from features.errors import EventLogError
from features.proposal.columns import Columns, guess, money
from features.proposal.events import Kind, Signals, kinds, sort_out
from features.proposal.given import Given
from features.proposal.rhythm import Horizon, Rhythm, doing, rhythm, silence
from features.proposal.written import written_as


@dataclass(frozen=True, slots=True)
class Draft:
    """A proposed definition.

    Attributes:
        columns: what the columns are.
        signals: what the events are.
        rhythm: the log's times.
        horizons: of each proposed outcome.
        text: the definition as YAML.
    """

    columns: Columns
    signals: Signals
    rhythm: Rhythm
    horizons: dict[str, Horizon]
    text: str


def draft(name: str, path: str, folder: Path, given: Given) -> Draft:
    """Propose a definition for a log.

    Args:
        name: the definition's name.
        path: where the log is, as it will stand in the definition.
        folder: the definition's folder.
        given: what is known beforehand.

    Raises:
        EventLogError: the log cannot be read, or has no user, event or time.
    """
    paths = [path_of(path, folder)]
    files_of(paths)
    with connect() as connection:
        tables = Tables.open(connection, paths, given.table, given.encoding)
        tables = tables.typed(connection, used=(), numbers=(), kept={})
        columns = guess(connection, tables, paths, given.columns)
        time = _time(columns, given)
        with reading(paths):
            worths = "".join(f", {quote(one.name)}" for one in money(columns.seen.values()))
            connection.execute(
                f"CREATE TABLE named AS SELECT CAST({quote(columns['user'])} AS VARCHAR) AS u, "
                f"CAST({quote(columns['event'])} AS VARCHAR) AS e, {time} AS t{worths} FROM {tables.whole}"
            )
        found = kinds(connection, "(SELECT * FROM named WHERE t IS NOT NULL AND u IS NOT NULL)", columns)
        if not found:
            raise EventLogError("no row of the log has a user, an event and a time.", fix="name other columns")
        signals = sort_out(found)
        _acts(connection, signals)
        of = rhythm(connection)
        horizons = {"churn": silence(connection, of)}
        if signals.purchase:
            horizons["purchase"] = doing(connection, of, horizons["churn"].days, "bought")
        if signals.leave:
            horizons["uninstall"] = doing(connection, of, horizons["churn"].days, "gone")
    written = written_as(name, path, given, columns, signals, of, horizons)
    return Draft(columns, signals, of, horizons, written)


def _time(columns: Columns, given: Given) -> str:
    """SQL of the time in microseconds."""
    seen = columns.seen[columns["time"]]
    formats = [given.time_format] if given.time_format is not None else []
    return time_sql(quote(seen.name), seen.dtype, formats, columns.unit, "events.columns.time")


def _acts(connection: Connection, signals: Signals) -> None:
    def one_of(some: list[Kind]) -> str:
        return f"e IN ({', '.join(text(kind.name) for kind in some)})" if some else "false"

    connection.execute(
        f"CREATE TABLE acts AS SELECT u, t, {one_of(signals.activity)} AS alive, {one_of(signals.purchase)} AS bought, "
        f"{one_of(signals.leave)} AS gone FROM named WHERE u IS NOT NULL AND t IS NOT NULL AND e IS NOT NULL"
    )
