"""Messages of the live path as rows of the event log: the same columns, the same SQL, the same numbers."""

import json
import math
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import TypeAdapter
from sqlglot import exp

from features.definition.numbers import event_numbers
from features.definition.schema import Definition
from features.definition.sections.log.event_log import EventColumns
from features.engines import duckdb as engine
from features.engines.rows import event_rows
from features.errors import EventLogError
from features.events.events import Rows
from features.events.hashing import hashed
from features.expressions.expression import Expression
from features.reading.columns import is_expression, used_columns
from features.reading.values import ColumnValues, text_of
from features.system.files.durable import write_durably
from features.system.files.kept_files import reading, sealed, unsealed
from features.user_id import UserIdError, user_id
from features.wrong_values import kind_of

TRACK, IDENTIFY, ALIAS = "track", "identify", "alias"


#: what an alias says that was asked for by name, and not seen by two ids in one message
EXPLICIT = "explicit"


@dataclass(frozen=True, slots=True)
class Message:
    """A message that was accepted.

    Attributes:
        id: tells it from all others.
        user: who.
        kind: ``track``, ``identify``, or ``alias``, which says that another id is this user's.
        event: what happened; empty for ``identify``, the other id for ``alias``.
        t: when it happened, by the sender's clock put right.
        received: when it arrived here; never before ``t``.
        body: the properties of an event, the traits of a user; of an alias `EXPLICIT` where it was asked for.
        position: its place in the live log; 0 before it is there.
        stated: when it happened by the sender's clock, as it is; None where the sender did not say.
        corrects: a message of its id was accepted before, and this one takes its place.
    """

    id: str
    user: str
    kind: str
    event: str
    t: int
    received: int
    body: dict[str, object]
    position: int = 0
    stated: int | None = None
    corrects: bool = False

    @property
    def users(self) -> tuple[str, ...]:
        """The ids that it speaks of."""
        return (self.user, self.event) if self.kind == ALIAS else (self.user,)


def columns_path(folder: Path) -> Path:
    """Where the columns of a definition's log are kept for those who have not the log at hand."""
    return folder / "columns.json"


class LogColumns:
    """The event log's columns and types, and how messages fill them.

    Args:
        definition: names the columns of user, event, time, arrival and id.
        types: DuckDB's type of each column.
    """

    def __init__(self, definition: Definition, types: dict[str, str]) -> None:
        self.definition = definition
        self.types = types
        names = definition.events.columns
        self._of = _parts_of(names, types)
        self._mapped = {name for name in names.model_dump().values() if name is not None} | set(self._of)
        self._read = sorted((used_columns(definition) - self._mapped) & set(types))
        self._n_values = len(event_numbers(definition))
        self._values = ColumnValues()
        # to open a connection takes as long as to read a thousand messages: it is kept
        self._connection: engine.Connection | None = None
        self._one_at_a_time = threading.Lock()

    @classmethod
    def load(cls, definition: Definition, folder: Path) -> "LogColumns":
        """The columns kept in a definition's folder.

        Raises:
            EventLogError: none are.
            StoreError: the file is damaged.
        """
        path = columns_path(folder)
        if not path.exists():
            raise EventLogError(f"{path} does not exist.", fix="run propensity materialize (or train) first")
        with reading(path, fix=f"remove {path}, and run propensity materialize"):
            types = TypeAdapter(dict[str, str]).validate_json(unsealed(path.read_bytes()))
        return cls(definition, types)

    def save(self, folder: Path) -> None:
        """Keep them in a definition's folder."""
        write_durably(columns_path(folder), sealed(json.dumps(self.types, indent=1)))

    @property
    def has_arrivals(self) -> bool:
        """Whether the log says when rows arrived."""
        return self.definition.events.columns.arrived is not None

    @property
    def keeps_ids(self) -> bool:
        """Whether the log can hold the ids of messages, by which repeats and corrections are known in files."""
        name = self.definition.events.columns.id
        return name is not None and self.types.get(name) == "VARCHAR"

    def user_of(self, value: object) -> str:
        """A user's id in its normal form, as it will be read from the log.

        Raises:
            UserIdError: it is not an id, or is one that the log's column cannot hold.
        """
        user, dtype = user_id(value), self.types.get(self.definition.events.columns.user, "VARCHAR")
        if not self._values.takes_user(user, dtype):
            raise UserIdError(
                f"user id {user!r:.60} is none that the log's column of type {dtype} holds.",
                fix="send ids as the log has them",
            )
        return user

    def problem(self, properties: dict[str, object]) -> str:
        """What is wrong with the properties that signals and exclusions read, in words; empty when nothing is."""
        for name in self._read:
            value = properties.get(name)
            if value is None:
                continue
            if isinstance(value, (dict, list)) and self.types[name] not in ("VARCHAR", "JSON"):
                return f"properties.{name} is {kind_of(value)}, the log's column holds {self.types[name]}"
            if isinstance(value, float) and not math.isfinite(value):
                return f"properties.{name} is {value}"
            text = text_of(value)
            if not isinstance(value, (dict, list)) and not self._values.takes(str(text), self.types[name]):
                return f"properties.{name} is {value!r:.60}, the log's column holds {self.types[name]}"
        return self._currency_problem(properties)

    def _currency_problem(self, properties: dict[str, object]) -> str:
        """What is wrong with the currency of an amount."""
        known = self.definition.currencies
        for number in event_numbers(self.definition):
            if number.currency is None or known is None or number.currency not in self._read:
                continue
            code = properties.get(number.currency)
            if code is None and any(properties.get(name) is not None for name in number.sql.columns):
                return f"properties.{number.currency} is not there, and {number.place} is an amount of a currency"
            if code is not None and str(text_of(code)).strip().upper() not in known.worth:
                listed = ", ".join(known.worth)
                return f"properties.{number.currency} is {code!r:.60}; 'currencies' has rates for {listed}"
        return ""

    def table(self, messages: Sequence[Message]) -> pa.Table:
        """Events with the log's columns and types; what a message does not say is null."""
        with engine.connect() as connection:
            return connection.sql(self._source(connection, messages, list(self.types))).to_arrow_table()

    def rows(self, messages: Sequence[Message]) -> Rows:
        """Events in the fold's terms, as they would be read from the log; excluded users and other events left out."""
        names = sorted({*self._read, *self._mapped} & set(self.types))
        types = {name: self.types[name] for name in names}
        with self._one_at_a_time:
            connection = self._connection = self._connection or engine.open_connection()
            source = f"({self._source(connection, messages, names)})"
            table = connection.sql(event_rows(self.definition, types, source, ours=True)).to_arrow_table()
            connection.unregister("messages")
        kept = table.filter(pc.less(table["dropped"], 0))
        columns = ["user", "t", "visible", "mask", *(f"v{i}" for i in range(self._n_values))]
        return Rows.of(kept.select(columns).append_column("id", pa.array(hashed(kept["id"]))), self._n_values)

    def _source(self, connection: engine.Connection, messages: Sequence[Message], names: list[str]) -> str:
        """SQL that yields messages in some of the log's columns."""
        connection.register("messages", self._raw(messages, names))
        mapped = self.definition.events.columns
        unit = self.definition.events.time_unit
        times = {mapped.time: unit, mapped.arrived: unit}
        return engine.typed({name: self.types[name] for name in names}, times, "messages")

    def _raw(self, messages: Sequence[Message], names: list[str]) -> pa.Table:
        """All columns as text, times as microseconds."""
        mapped = self.definition.events.columns
        columns: dict[str, pa.Array] = {}
        for name in names:
            if name in (mapped.time, mapped.arrived):
                columns[name] = pa.array([m.t if name == mapped.time else m.received for m in messages], pa.int64())
            elif name in self._of:
                columns[name] = pa.array([getattr(m, self._of[name]) for m in messages], pa.string())
            else:
                columns[name] = pa.array([text_of(m.body.get(name)) for m in messages], pa.string())
        return pa.table(columns)


def _parts_of(names: EventColumns, types: Mapping[str, str]) -> dict[str, str]:
    """Which part of a message fills which column: user, event and id.

    Where one is SQL over columns of the log, the first of them is filled as well, if it is text: signals may read it.
    """
    found = {name: part for part in ("user", "event", "id") if (name := getattr(names, part)) is not None}
    for name, part in list(found.items()):
        if is_expression(sql := Expression(name)):
            first = next(column.parts[0].name for column in sql.tree.find_all(exp.Column))
            if types.get(first) == "VARCHAR":
                found.setdefault(first, part)
    return found


def read_time(value: object) -> int | None:
    """Microseconds since 1970 of an ISO time (UTC where it names no zone), or None when it is none."""
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return int((moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1e6)
    except (ValueError, OverflowError):
        return None
