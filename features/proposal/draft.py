"""A proposed definition as commented YAML, made of what was found in a log."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from features.engines.duckdb import Connection, connect, quote, reading, text
from features.engines.files import files_of, path_of
from features.engines.tables import Tables
from features.engines.times import time_sql
from features.errors import EventLogError
from features.proposal.columns import Columns, guess
from features.proposal.events import Kind, Signals, kinds, sort_out
from features.proposal.rhythm import Horizon, Rhythm, doing, rhythm, silence

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Given:
    """What is said by who asks.

    Attributes:
        table: the table of a DuckDB file.
        columns: columns by ``user``, ``event``, ``time``, ``arrived`` and ``id``.
        time_format: how times in text are written.
        encoding: of CSV files.
    """

    table: str | None
    columns: dict[str, str]
    time_format: str | None
    encoding: str


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
            connection.execute(
                f"CREATE TABLE named AS SELECT CAST({quote(columns['user'])} AS VARCHAR) AS u, "
                f"CAST({quote(columns['event'])} AS VARCHAR) AS e, {time} AS t{_money(columns)} FROM {tables.whole}"
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
    written = "\n".join(_lines(name, path, given, columns, signals, of, horizons)) + "\n"
    return Draft(columns, signals, of, horizons, written)


def _time(columns: Columns, given: Given) -> str:
    """SQL of the time in microseconds."""
    seen = columns.seen[columns["time"]]
    formats = [given.time_format] if given.time_format is not None else []
    return time_sql(quote(seen.name), seen.dtype, formats, columns.unit, "events.columns.time")


def _money(columns: Columns) -> str:
    kept = [name for name in columns.seen if name not in (g.column for g in columns.guesses.values())]
    return "".join(f", {quote(name)}" for name in kept if name.lower() not in ("u", "e", "t"))


def _acts(connection: Connection, signals: Signals) -> None:
    def one_of(some: list[Kind]) -> str:
        return f"e IN ({', '.join(text(kind.name) for kind in some)})" if some else "false"

    connection.execute(
        f"CREATE TABLE acts AS SELECT u, t, {one_of(signals.activity)} AS alive, {one_of(signals.purchase)} AS bought, "
        f"{one_of(signals.leave)} AS gone FROM named WHERE u IS NOT NULL AND t IS NOT NULL AND e IS NOT NULL"
    )


def _lines(
    name: str, path: str, given: Given, columns: Columns, signals: Signals, of: Rhythm, horizons: dict[str, Horizon]
) -> list[str]:
    churn = horizons["churn"]
    return [
        f"# Proposed by propensity init for {path}. Change what you know better, then run propensity check.",
        f"name: {name}",
        "",
        *_events(path, given, columns, of),
        "",
        *_signals(signals, columns["event"]),
        "",
        f"windows: [{', '.join(f'{days}d' for days in of.windows)}]   # over which features count",
        "",
        *_outcomes(signals, of, horizons),
        "",
        "# cutoffs to learn from: every week; days only are cut at midnight" if of.daily else "# cutoffs to learn from",
        f"snapshots: {{stride: 7d, count: {max(4, min(52, of.days // 7))}{', spread: false' if of.daily else ''}}}",
        "",
        f"rfm: {{signal: {'purchase' if signals.purchase else 'visit'}, window: {max(of.windows)}d"
        + (", money: purchase}" if signals.worth else "}"),
        "",
        "# states and segments in the words of this definition; propensity packs tells what each is for",
        "packs:",
        f"  lifecycle: {{settings: {{churned_after: {2 * churn.days}, dormant_after: {churn.days}, "
        f"at_risk_after: {max(churn.days // 3, 2)}}}" + (", roles: {leave: leave}}" if signals.leave else "}"),
        *(["  commerce: {roles: {order: purchase}}"] if signals.purchase else []),
        *(["  conflicts: {roles: {order: purchase}}"] if signals.purchase else []),
    ]


def _events(path: str, given: Given, columns: Columns, of: Rhythm) -> list[str]:
    guesses = columns.guesses
    ends = _EPOCH + timedelta(days=of.ends)
    lines = ["events:", f"  path: {path}"]
    lines += [f"  table: {given.table}"] if given.table is not None else []
    lines.append("  columns:")
    width = max(len(g.column) for g in guesses.values()) + 10
    named = {key: guesses[key] for key in ("user", "event", "time", "arrived", "id") if key in guesses}
    lines += [f"    {f'{key}: {_yaml(g.column)}':{width}}# {g.why}" for key, g in named.items()]
    if "arrived" not in guesses:
        lines.append("    # arrived: without it, an event counts from when it happened")
    if "id" not in guesses:
        lines.append("    # id: without it, an event that is in the log twice counts twice")
    lines += [f"  time_unit: {columns.unit}"] if columns.unit is not None else []
    lines += [f"  time_format: {_yaml(given.time_format)}"] if given.time_format is not None else []
    lines += [f"  encoding: {given.encoding}"] if given.encoding != "utf-8" else []
    lines.append(f"  ends: {ends:%Y-%m-%dT%H:%M:%SZ}   # the log is complete through here; the last day may break off")
    return lines


def _signals(signals: Signals, column: str) -> list[str]:
    known = {kind.name for kind in (*signals.activity, *signals.purchase, *signals.leave)}

    def where(some: Sequence[Kind]) -> str:
        names = ", ".join(text(kind.name) for kind in some)
        return _yaml(f"{_sql(column)} = {names}" if len(some) == 1 else f"{_sql(column)} IN ({names})")

    lines = ["signals:   # conditions on the log's rows; exactly one is the sign of life"]
    if signals.life == "visit":
        lines.append(f"  visit: {{where: {where(signals.activity)}, activity: true}}")
    if signals.purchase:
        worth = f", value: {_yaml(_sql(signals.worth))}" if signals.worth else ""
        alive = ", activity: true" if signals.life == "purchase" else ""
        lines.append(f"  purchase: {{where: {where(signals.purchase)}{worth}{alive}}}")
    if signals.leave:
        lines.append(f"  leave: {{where: {where(signals.leave)}}}   # left for good")
    if signals.cart:
        lines.append(f"  cart: {{where: {where(signals.cart)}}}")
    taken = {"visit", "purchase", "leave", "cart"}
    for kind in signals.activity:
        slug = re.sub(r"^[^a-z]+", "", kind.words)[:30].rstrip("_")
        if len(taken) < 12 and slug and slug not in taken and [kind] not in (signals.purchase, signals.cart):
            taken.add(slug)
            lines.append(f"  {slug}: {{where: {where([kind])}}}   # {kind.rows:,} rows of {kind.users:,} users")
    left = [kind.name for kind in signals.every if kind.name not in known]
    if left:
        lines.append(f"  # in no signal, as users do not do them, or they undo something: {', '.join(left[:8])}")
    return lines


def _outcomes(signals: Signals, of: Rhythm, horizons: dict[str, Horizon]) -> list[str]:
    churn = horizons["churn"]
    life = signals.life
    still = f"days_since_{life} < {churn.days}"
    if signals.leave:
        still += f" AND (leave_count_total = 0 OR days_since_leave > days_since_{life})"
    longer = "; a longer horizon would leave too little of this log to learn from" if churn.days < of.usual_gap else ""
    lines = [
        f"# 95 % of all gaps between two active days are at most {of.usual_gap} days long{longer}",
        "outcomes:",
        f"  churn: {{will_not: {life}, within: {churn.days}d, among: {_yaml(still)}}}{_share(churn)}",
    ]
    if (buys := horizons.get("purchase")) is not None:
        lines.append(f"  purchase: {{will: purchase, within: {buys.days}d, among: {_yaml(still)}}}{_share(buys)}")
    if (goes := horizons.get("uninstall")) is not None:
        lines.append(f"  uninstall: {{will: leave, within: {goes.days}d, among: {_yaml(still)}}}{_share(goes)}")
    if signals.worth and buys is not None:
        lines.append(f"  spend: {{sum_of: purchase, within: {buys.days}d, among: {_yaml(still)}}}")
    return lines


def _share(horizon: Horizon) -> str:
    if horizon.share is None:
        return "   # nobody to ask about at the end of the log"
    return f"   # it was so {horizon.share:.1%} of {horizon.users:,} times"


def _sql(column: str) -> str:
    return column if re.fullmatch(r"[a-z_][a-z0-9_]*", column) else quote(column)


def _yaml(value: str) -> str:
    """A text in YAML."""
    words = ("yes", "no", "on", "off", "true", "false", "null", "y", "n")
    plain = re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", value) and value.lower() not in words
    return value if plain else '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
