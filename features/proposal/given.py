"""What is known of a log beforehand."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Given:
    """What the caller knows.

    Attributes:
        table: the table of a DuckDB file.
        columns: columns, or SQL over columns, by ``user``, ``event``, ``time``, ``arrived`` and ``id``.
        time_format: how times in text are written.
        encoding: of CSV files.
        traits: the table of the users' attributes, as it will stand in the definition; looked for beside the log when
            None.
        source: where the rows of the log were fetched from, as it will stand in the definition.
    """

    table: str | None
    columns: dict[str, str]
    time_format: str | None
    encoding: str
    traits: str | None = None
    source: dict[str, str] | None = None
