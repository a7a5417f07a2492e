"""What the columns of a log are: the user, the event, its times and its id, guessed from names and values."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from features.engines.duckdb import Connection, quote
from features.engines.formats import hint
from features.engines.tables import Tables
from features.engines.times import Unit
from features.errors import EventLogError
from features.proposal.asking import Asking, Guess
from features.proposal.seen import Seen, look, snake

#: what columns are for, in the order in which they are looked for
KEYS = ("time", "user", "event", "arrived", "id")

#: a column of users is full when at least this share of rows has one
FULL = 0.95

#: events have at most so many names
MOST_NAMES = 2_000

_NAMES = {
    "user": r"(user|customer|client|member|player|account|visitor|person|household|distinct|profile|student|subscriber|"
            r"device|anonymous)(_?(id|key|no|num|number|code|uid))?|uid",
    "event": r"event(_?(name|type|kind))?|action|activity(_?type)?|verb|type|kind|operation",
    "time": r"(event_?)?(time|ts|timestamp|date|datetime)|(occurred|created|happened)(_?(at|on|time))?|"
            r"\w+_?(timestamp|date|datetime|time|at)",
    "arrived": r"(arrived|received|ingested|inserted|loaded|collected|uploaded)(_?(at|time|ts|on))?|"
               r"(server|arrival|collector|upload|load)_?(time|tstamp|timestamp|upload_time|at)",
    "id": r"(event|message|insert|hit|row)_?(id|uuid|key)|uuid|id",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns of a log that hold what a definition needs.

    Attributes:
        guesses: by ``user``, ``event``, ``time``, ``arrived`` and ``id``; the last two may be missing.
        seen: all columns.
        rows: how many rows were looked at.
        unit: of times that are numbers.
        kind: of the files: ``parquet``, ``csv`` or ``duckdb``.
    """

    guesses: dict[str, Guess]
    seen: dict[str, Seen]
    rows: int
    unit: Unit | None
    kind: str

    def __getitem__(self, key: str) -> str:
        return self.guesses[key].column


def guess(connection: Connection, tables: Tables, paths: list[Path], given: dict[str, str], asking: Asking) -> Columns:
    """Guess what the columns are.

    Args:
        connection: a connection to which the tables are attached.
        tables: the log's files.
        paths: where they are, for errors.
        given: columns that are known, by what they are.
        asking: is asked about what is not sure.

    Raises:
        EventLogError: no column can be the user, the event or the time; or a given one is not there.
    """
    seen, rows = look(connection, tables, paths)
    for key, name in given.items():
        if name not in seen:
            raise EventLogError(f"--{key} {name}: there is no such column.", fix=f"there are {', '.join(seen)}")
    found = {key: Guess(name, "as given") for key, name in given.items()}
    for key in KEYS:
        if key in found:
            continue
        left = [one for one in seen.values() if one.name not in {g.column for g in found.values()}]
        best = _best(key, left, rows)
        if (best is None and key in ("user", "event")) or (best is not None and not best.sure):
            best = _answer(key, best, [one.name for one in left], asking)
        if best is not None:
            found[key] = best
        elif key == "time":
            raise EventLogError("no column holds a time.", fix=_time_fix(connection, tables, paths, seen))
    for key, what in (("user", "who did it"), ("event", "what was done")):
        if key not in found:
            raise EventLogError(
                f"no column says {what}: there are {', '.join(seen)}.",
                fix=f"name it with --{key}, or make a log of an export of another tool with propensity import",
            )
    return Columns(found, seen, rows, seen[found["time"].column].unit, tables.kind)


def _answer(key: str, best: Guess | None, columns: list[str], asking: Asking) -> Guess | None:
    """What is answered about a column that is not sure."""
    answer = asking.column(key, best, columns)
    if best is not None and answer == best.column:
        return best
    return Guess(answer, "as given") if answer else None


def _best(key: str, seen: Iterable[Seen], rows: int) -> Guess | None:
    """The column that is most likely what is asked for."""
    ranked = sorted(
        ((score, one, why) for one in seen for score, why in _scores(key, one, rows)), key=lambda found: -found[0]
    )
    if not ranked:
        return None
    score, one, why = ranked[0]
    others = tuple(other.name for other_score, other, _ in ranked[1:] if other_score > score - 0.5)
    doubt = f"; it could also be {', '.join(others[:3])}" if others else ""
    fuller = next((other.name for _, other, _ in ranked[1:] if other.there > one.there), None)
    if key == "user" and one.there < FULL and fuller is not None:
        doubt += f"; {1 - one.there:.0%} of rows have none: 'COALESCE({one.name}, {fuller})' would take the other there"
    return Guess(one.name, why + doubt, others)


def _scores(key: str, one: Seen, rows: int) -> Iterator[tuple[float, str]]:
    """How likely a column is what is asked for, where it can be."""
    named = re.fullmatch(_NAMES[key], snake(one.name)) is not None
    words, text = "by its name", one.dtype == "VARCHAR"
    if key in ("time", "arrived"):
        fits = one.times > 0.9 or (one.unit is not None and named)
        if fits and one.there > 0.5 and (named or key == "time"):
            exact = re.fullmatch(r"(event_?)?(time|ts|timestamp)", snake(one.name)) is not None
            arrival = key == "time" and re.fullmatch(_NAMES["arrived"], snake(one.name)) is not None
            yield named + exact - arrival + one.there, words if named else "the only times"
    elif key == "user":
        several = 1 < one.distinct < 0.95 * rows
        if named and several and one.there > 0.3 and one.times < 0.5:
            plain = re.match(r"user|customer", snake(one.name)) is not None
            yield 1 + plain + one.there, f"{words}; about {one.distinct:,} of them"
    elif key == "event":
        if named and text and one.distinct <= MOST_NAMES and one.there > 0.9 and one.times < 0.5:
            plain = snake(one.name).startswith("event")
            yield 1 + plain, f"{words}; {one.distinct:,} names"
    elif named and one.there > 0.99 and one.distinct > 0.9 * rows:
        yield 1.0, f"{words}; nearly every row has one of its own"


def _time_fix(connection: Connection, tables: Tables, paths: list[Path], seen: dict[str, Seen]) -> str:
    """What to do where no time can be read."""
    for one in seen.values():
        if re.fullmatch(_NAMES["time"], snake(one.name)) and one.dtype == "VARCHAR" and one.there > 0.5:
            return f"column {one.name}: {hint(connection, tables.whole, quote(one.name), paths)}; give --time-format"
    return f"name it with --time; there are {', '.join(seen)}"
