"""Rows of a log that are left out, by example: looked up where they lie, so that nothing of them is kept."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from features.engines import duckdb as engine
from features.engines.rows import DROPS, LATE, SHOWN, begins, excluded_sql
from features.reading.findings import EXAMPLES
from features.reading.source import EventLog
from features.system.arrow import texts_of

#: rows that are looked at where some may be of erased users
LOOKED_AT = 100


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A row that is left out, as it is written.

    Attributes:
        user: whose.
        event: its event.
        time: its time.
        file: where it is.
    """

    user: str | None
    event: str | None
    time: str | None
    file: str


def examples(log: EventLog, counts: Mapping[str, Mapping[str, int]], late: int) -> dict[str, list[LeftOut]]:
    """A few of the rows that are left out, by reason; none of erased users.

    Args:
        log: the log.
        counts: how many rows of each file are left out, by the file's name and the reason.
        late: how many rows are at or after the log's end.

    Raises:
        EventLogError: a file cannot be read.
    """
    found: dict[str, list[LeftOut]] = {}
    for reason in (*DROPS, LATE):
        some: list[LeftOut] = []
        files = [file for file in log.files if reason == LATE or counts.get(log.name_of(file), {}).get(reason)]
        if reason == LATE:  # the newest files hold them
            files = files[::-1] if late else []
        for file in files:
            if len(some) < EXAMPLES:
                some += _in_file(log, file, reason)
        if some:
            found[reason] = some[:EXAMPLES]
    return found


def _in_file(log: EventLog, file: Path, reason: str) -> list[LeftOut]:
    """A few rows of a file that are left out for a reason."""
    names, erased = log.definition.events.columns, log.live.erased
    texts = [f"left(CAST({engine.quote(n)} AS VARCHAR), {SHOWN})" for n in (names.user, names.event, names.time)]
    shown = {f"shown{i}": sql for i, sql in enumerate(texts)}
    most = LOOKED_AT if erased else EXAMPLES
    with engine.connect() as connection:
        sql = log.rows_sql(connection, file, shown | {"left_out": excluded_sql(log.definition)})
        with engine.reading([file]):
            rows = engine.some_of(connection, f"({sql})", ['"user"', *shown], _which(log, reason), most)
    gone = erased.flags(texts_of([user for user, *_ in rows]))
    return [
        LeftOut(user, event, time, file.name)
        for (_, user, event, time), erased_one in zip(rows, gone, strict=True)
        if not erased_one
    ]


def _which(log: EventLog, reason: str) -> str:
    """SQL of the rows that are left out for a reason.

    The SQL names what must hold of them, too: DuckDB evaluates that first, and the rest for few rows.
    """
    if reason == LATE:
        return f"dropped < 0 AND t >= {log.ends}"
    must = ('"user" IS NULL', "t IS NULL", f"t < {begins(log.definition)}", "left_out", "mask = 0")
    return f"dropped = {DROPS.index(reason)} AND {must[DROPS.index(reason)]}"
