"""Databases through ibis: what is asked of one, whichever it is."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from typing import Any, Protocol, Self
from urllib.parse import parse_qsl, unquote, urlsplit

import pyarrow as pa
from sqlglot import exp

from features.errors import EventLogError, PropensityError, UnavailableError

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
        name: the source's name, for errors.
        url: the address; ``${NAME}`` comes from the environment.

    Raises:
        EventLogError: a variable is not set, or the address is of no database that we know.
    """

    def __init__(self, name: str, url: str) -> None:
        self._name, self._url = name, expanded(url)
        scheme = self._url.split("://")[0].split("+")[0]
        if scheme not in BACKENDS:
            raise EventLogError(
                f"events.sources.{name}.url begins with {scheme!r}.", fix=f"use one of {', '.join(BACKENDS)}"
            )
        self.dialect = BACKENDS[scheme]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if "_connection" in self.__dict__:
            with suppress(Exception):  # one that broke cannot be closed, and what broke it was told
                self._connection.disconnect()

    @cached_property
    def _connection(self) -> Any:
        try:
            import ibis

            address = self._url.split("://", 1)[1]
            connection = ibis.connect(f"{self.dialect}://{address}")
        except ImportError as error:
            raise PropensityError(
                f"what reads {self.dialect} is not installed: {error.name or error}.",
                fix=f"pip install 'propensity[{self.dialect}]'",
            ) from None
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

            # with a schema, ibis need not make a view to learn of it, which whoever may only read cannot
            query = self._connection.sql(sql, schema=ibis.Schema.from_pyarrow(schema), dialect=self.dialect)
            batches = self._connection.to_pyarrow_batches(query, chunk_size=BATCH)
        return pa.RecordBatchReader.from_batches(schema, self._passed_on(batches, schema))

    def _passed_on(self, batches: pa.RecordBatchReader, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        with self._answers():
            for batch in batches:
                yield from pa.Table.from_batches([batch]).cast(schema).to_batches()

    @contextmanager
    def _answers(self) -> Iterator[None]:
        """Tell what goes wrong at the database, without secrets; each driver has errors of its own."""
        try:
            yield
        except (PropensityError, GeneratorExit):
            raise
        except Exception as error:
            reason = without_secrets(" ".join([type(error).__name__, *str(error).split("\n")[:1]]), self._url)
            raise UnavailableError(
                f"the database of source {self._name!r} cannot be read: {reason[:300]}.",
                fix="check the address, the table and the rights, or wait until it answers; what was fetched is kept",
            ) from None


def expanded(url: str) -> str:
    """An address with what the environment says.

    Raises:
        EventLogError: a variable is not set.
    """
    found = os.path.expandvars(url)
    if missing := re.search(r"\$\{?(\w+)", found):
        raise EventLogError(f"{missing[1]} is not set in the environment.", fix=f"set it: {url} needs it")
    return found


def without_secrets(message: str, url: str) -> str:
    """A message in which nothing stands that an address alone may say."""
    parts = urlsplit(url)
    values = [value for _, value in parse_qsl(parts.query)]
    for secret in (url, parts.netloc.rpartition("@")[0], parts.password, parts.username, *values):
        if secret:
            message = message.replace(secret, "***").replace(unquote(secret), "***")
    return message
