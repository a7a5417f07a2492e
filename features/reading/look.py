"""What is asked of a log's rows where they lie, as they are written: names, days, examples of what is left out."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from features.definition.schema import Definition
from features.expressions.dialects import written
from features.expressions.expression import Expression
from features.reading.left_out import LeftOut, examples
from features.reading.source import EventLog
from features.reading.survey import Survey


class Look(Protocol):
    """Looks at a log's rows."""

    @property
    def definition(self) -> Definition:
        """The definition."""
        ...

    @property
    def columns(self) -> dict[str, str]:
        """The log's columns with DuckDB's types."""
        ...

    def survey(self) -> Survey:
        """Look at the names of events, at days and users, and whether times in text say their offset."""
        ...

    def texts_in(self, column: str, where: Expression, most: int) -> list[str]:
        """The most frequent texts of a column, in upper case and trimmed, among some rows."""
        ...

    def left_out(self, counts: Mapping[str, Mapping[str, int]], late: int) -> dict[str, list[LeftOut]]:
        """A few of the rows that are left out, by reason; see `features.reading.left_out.examples`."""
        ...


@dataclass(frozen=True, slots=True)
class LocalLook:
    """Looks at a log on this machine.

    Attributes:
        log: the log.
    """

    log: EventLog

    @property
    def definition(self) -> Definition:
        """The definition."""
        return self.log.definition

    @property
    def columns(self) -> dict[str, str]:
        """The log's columns with DuckDB's types."""
        return self.log.columns

    def survey(self) -> Survey:
        """See `Look.survey`."""
        return self.log.survey()

    def texts_in(self, column: str, where: Expression, most: int) -> list[str]:
        """See `Look.texts_in`."""
        return self.log.texts_in(column, written(where, "duckdb"), most)

    def left_out(self, counts: Mapping[str, Mapping[str, int]], late: int) -> dict[str, list[LeftOut]]:
        """See `Look.left_out`."""
        return examples(self.log, counts, late)
