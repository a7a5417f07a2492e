"""A definition proposed for a log, made of what was found in it."""

from dataclasses import dataclass, replace
from pathlib import Path

from features.definition.sections.log.event_log import EventColumns
from features.engines.duckdb import Connection, connect, quote, reading, rows_of, text, user_sql
from features.engines.files import path_of
from features.engines.rows import USER
from features.engines.tables import Tables
from features.engines.times import time_sql
from features.errors import EventLogError
from features.expressions.dialects import written as in_duckdb
from features.expressions.expression import Expression
from features.proposal.asking import Asking, Nobody
from features.proposal.columns import Columns, guess
from features.proposal.events.kinds import Kind, Signals, kinds, sort_out
from features.proposal.events.lines import large_order, order_columns, order_lines
from features.proposal.events.repeats import repeats
from features.proposal.events.rhythm import Horizon, Rhythm, doing, rhythm, silence, usual_gap_of
from features.proposal.given import Given
from features.proposal.ids import id_columns, second_id
from features.proposal.seen import Seen, numbers
from features.proposal.traits import OVERLAP, TraitTable, beside, check_unmixed, trait_table
from features.proposal.written import written_as
from features.reading.columns import computed, is_expression, places
from features.reading.findings import AS_TEXT, EXAMPLES, Finding, words
from features.user_id import EXACT

#: takes what seems right
NOBODY = Nobody()


@dataclass(frozen=True, slots=True)
class Draft:
    """A proposed definition.

    Attributes:
        columns: what the columns are.
        signals: what the events are.
        rhythm: the log's times.
        horizons: of each proposed outcome.
        traits: the table of the users' attributes, where there is one.
        text: the definition as YAML.
    """

    columns: Columns
    signals: Signals
    rhythm: Rhythm
    horizons: dict[str, Horizon]
    traits: TraitTable | None
    text: str


def draft(name: str, path: str | list[str], folder: Path, given: Given, asking: Asking = NOBODY) -> Draft:
    """Propose a definition for a log.

    Args:
        name: the definition's name.
        path: where the log is, as it will stand in the definition.
        folder: the definition's folder.
        given: what is known beforehand.
        asking: is asked about what is not sure.

    Raises:
        EventLogError: the log cannot be read, or has no user, event or time.
    """
    paths = [path_of(each, folder) for each in ([path] if isinstance(path, str) else path)]
    check_unmixed(paths)
    with connect() as connection:
        columns = _read(connection, paths, given, asking)
        found = kinds(connection, "(SELECT * FROM named WHERE t IS NOT NULL AND u IS NOT NULL)", columns)
        if not found:
            raise EventLogError("no row of the log has a user, an event and a time.", fix="name other columns")
        signals = _once(connection, columns, sort_out(found))
        _acts(connection, signals)
        of = rhythm(connection)
        horizons = _horizons(connection, of, signals)
        traits = _traits(connection, paths, path, folder, given, asking)
        lines, ids = order_lines(connection, columns, signals.purchase), second_id(connection, columns)
        large = large_order(connection, columns, signals, lines)
    written = written_as(name, path, given, columns, signals, of, horizons, traits, lines, large, ids)
    return Draft(columns, signals, of, horizons, traits, written)


def _read(connection: Connection, paths: list[Path], given: Given, asking: Asking) -> Columns:
    """Guess the columns of a log, and read those that matter into the table ``named``."""
    tables = Tables.open(connection, paths, given.table, given.encoding)
    stated = {
        key: name
        for key, name in given.columns.items()
        if name not in tables.columns and is_expression(Expression(name))
    }
    some = dict.fromkeys(("user", "event", "time"), next(iter(tables.columns)))
    more = computed(places(EventColumns(**(some | stated))), tables.columns)
    tables = tables.computing(connection, {name: in_duckdb(sql, "duckdb") for name, sql in more.items()})
    columns = guess(connection, tables, paths, given.columns, asking)
    user = columns.seen[columns["user"]]
    others = [g.column for g in columns.guesses.values()]
    needed = [
        *(one.name for one in numbers(columns.seen.values(), others)),
        *order_columns(columns),
        *id_columns(columns),
    ]
    more_columns = "".join(f", {quote(name)}" for name in dict.fromkeys(needed))
    with reading(paths):
        connection.execute(
            f"CREATE TABLE named AS SELECT {user_sql(user.name, user.dtype)} AS u, "
            f"CAST({quote(columns['event'])} AS VARCHAR) AS e, {_time(columns, given)} AS t{more_columns} "
            f"FROM {tables.whole}"
        )
        _check_rounded(connection, user, tables)
    return columns


def _once(connection: Connection, columns: Columns, signals: Signals) -> Signals:
    """The same, without purchases that are others again."""
    again = repeats(connection, columns, signals.purchase)
    return replace(signals, purchase=[kind for kind in signals.purchase if kind not in again], repeated=again)


def _check_rounded(connection: Connection, user: Seen, tables: Tables) -> None:
    """Refuse ids that are numbers so large that they were rounded."""
    if not user.dtype.startswith(("DOUBLE", "FLOAT", "REAL")):
        return
    too_large = f"abs({quote(user.name)}) >= {EXACT if user.dtype == 'DOUBLE' else 2**24}"
    text_of = f"CAST({quote(user.name)} AS VARCHAR)"
    [(rows, of, some)] = rows_of(
        connection,
        f"SELECT count(*) FILTER ({too_large}), count({quote(user.name)}), "
        f"list_sort(list(DISTINCT {text_of}) FILTER ({too_large}))[:{EXAMPLES}] FROM {tables.whole}",
    )
    if rows:
        found = Finding(rows=rows, of=of, examples=tuple(f"{one!r}" for one in some))
        raise EventLogError(f"{words(f'{USER} {user.name!r}', found)}.", fix=AS_TEXT, code="unreadable")


def _horizons(connection: Connection, of: Rhythm, signals: Signals) -> dict[str, Horizon]:
    """The horizon of each outcome that the log's events allow."""
    horizons = {"churn": silence(connection, of)}
    if signals.purchase:
        least = usual_gap_of(connection, "bought")
        horizons["purchase"] = doing(connection, of, horizons["churn"].days, "bought", least)
    if signals.leave:
        horizons["uninstall"] = doing(connection, of, horizons["churn"].days, "gone")
    return horizons


def _traits(
    connection: Connection, paths: list[Path], address: str | list[str], folder: Path, given: Given, asking: Asking
) -> TraitTable | None:
    """The table of the users' attributes that is named, or that lies beside the log and holds its users."""
    if given.traits is not None:
        return trait_table(connection, path_of(given.traits, folder), given.traits, given.encoding)
    for path, place in beside(paths, address if isinstance(address, str) else address[0]):
        try:
            found = trait_table(connection, path, place, given.encoding)
        except EventLogError:  # it only lies there: nobody has named it
            continue
        if found.share >= OVERLAP and asking.traits(place, found.why):
            return found
    return None


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
