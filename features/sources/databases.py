"""Databases through ibis: what is asked of one, whichever it is."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, suppress
from functools import cached_property
from typing import Any, Protocol, Self

import pyarrow as pa
from sqlglot import exp

from features.errors import EventLogError
from features.sources.answers import answering, expanded

#: rows that come at once
BATCH = 100_000

#: what an address begins with, and Ibis's name for it
BACKENDS = {
    "postgresql": "postgres",
    "postgres": "postgres",
    "bigquery": "bigquery",
    "snowflake": "snowflake",
    "clickhouse": "clickhouse",
    "databricks": "databricks",
}


class Database(Protocol):
    """What is asked of a database; all of it is read.

    Attributes:
        dialect: the name of its SQL, as sqlglot has it.
    """

    dialect: str

    def columns(self, table: str) -> pa.Schema:
        """The columns of a table."""
        ...

    def stream(self, sql: str, schema: pa.Schema) -> pa.RecordBatchReader:
        """The rows of a query, as they come, of the types that it says."""
        ...


class IbisDatabase:
    """A database by its address; it is connected to when something is asked, until the end of the ``with``.

    Args:
        place: where the source stands in the definition, for errors.
        url: the address; ``${NAME}`` comes from the environment.

    Raises:
        EventLogError: a variable is not set, or the address is of no database that we know.
    """

    def __init__(self, place: str, url: str) -> None:
        self._place, self._url = place, expanded(url)
        scheme = self._url.split("://")[0].split("+")[0]
        if scheme not in BACKENDS:
            raise EventLogError(f"{place}.url begins with {scheme!r}.", fix=f"use one of {', '.join(BACKENDS)}")
        self.dialect = BACKENDS[scheme]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if "_connection" in self.__dict__:
            with suppress(Exception):  # a broken one cannot be closed, and the error that broke it is on its way
                self._connection.disconnect()

    @cached_property
    def _connection(self) -> Any:
        with self._answers():
            import ibis

            connection = ibis.connect(f"{self.dialect}://{self._url.split('://', 1)[1]}")
            if self.dialect == "postgres":
                connection.raw_sql("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY")
            return connection

    def columns(self, table: str) -> pa.Schema:
        """The columns of a table."""
        named = exp.to_table(table, dialect=self.dialect)
        place = ".".join(part.name for part in named.parts[:-1])
        with self._answers():
            return self._connection.table(named.name, database=place or None).schema().to_pyarrow()

    def stream(self, sql: str, schema: pa.Schema) -> pa.RecordBatchReader:
        """The rows of a query, as they come, of the types that it says."""
        with self._answers():
            import ibis

            # without a schema, ibis makes a view to infer it, which a role that may only read cannot
            query = self._connection.sql(sql, schema=ibis.Schema.from_pyarrow(schema), dialect=self.dialect)
            batches = self._connection.to_pyarrow_batches(query, chunk_size=BATCH)
        return pa.RecordBatchReader.from_batches(schema, self._passed_on(batches, schema))

    def _passed_on(self, batches: pa.RecordBatchReader, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        with self._answers():
            for batch in batches:
                yield from pa.Table.from_batches([batch]).cast(schema).to_batches()

    def _answers(self) -> AbstractContextManager[None]:
        return answering(self._place, self._url, extra=self.dialect)
