"""Databases that are not at hand: the SQL that each is asked, and the contract on answers of that SQL.

The answers are DuckDB's, to the queries translated from the dialect of each: what is held is that the SQL is right in
that dialect as sqlglot reads it, and that it asks for the right rows. No such server answers here.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import duckdb
import pyarrow as pa
import pytest
import sqlglot

from features.errors import EventLogError, PropensityError, UnavailableError
from features.settings import Settings
from features.sources import fetch as fetching
from features.sources.answers import without_secrets
from features.sources.databases import IbisDatabase
from tests.features.sources.contract import SECRET, Row, SourceContract, rows

SCHEMA = pa.schema(
    [
        ("event_id", pa.string()),
        ("user_id", pa.int64()),
        ("name", pa.string()),
        ("happened", pa.timestamp("us", "UTC")),
        ("received", pa.timestamp("us", "UTC")),
        ("amount", pa.decimal128(10, 2)),
    ]
)
SQL = Path(__file__).parent / "sql"


class Answering:
    """A database that answers queries in a dialect.

    Args:
        dialect: whose SQL it takes.
    """

    def __init__(self, dialect: str) -> None:
        self.dialect, self.asked, self.away = dialect, list[str](), False
        self.rows = SCHEMA.empty_table()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is open."""

    def columns(self, table: str) -> pa.Schema:
        if self.away:
            raise UnavailableError("the database of source 'shop' did not answer.", fix="try again")
        assert table == "web.events"
        return SCHEMA

    def stream(self, sql: str, schema: pa.Schema) -> pa.RecordBatchReader:
        self.asked.append(sql)
        query = sqlglot.parse_one(sql, read=self.dialect).sql(dialect="duckdb")
        with duckdb.connect() as connection:
            connection.execute("SET TimeZone = 'UTC'; CREATE SCHEMA web")
            connection.register("given", self.rows)
            connection.execute("CREATE TABLE web.events AS SELECT * FROM given")
            found = connection.sql(query).to_arrow_table()
        return found.rename_columns(schema.names).cast(schema).to_reader()


@pytest.mark.parametrize("dialect", ["bigquery", "snowflake", "clickhouse", "databricks"])
class TestOtherDatabases(SourceContract):
    @pytest.fixture
    def source(self, dialect: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
        self.database = Answering(dialect)
        monkeypatch.setattr(fetching, "IbisDatabase", lambda name, url: self.database)
        return {"kind": "database", "url": f"{dialect}://${{ACCOUNT}}/x", "table": "web.events"}

    def put(self, some: Sequence[Row]) -> None:
        more = [{**row, "amount": row["amount"] and round(row["amount"], 2)} for row in some]
        self.database.rows = pa.concat_tables([self.database.rows, pa.Table.from_pylist(more).cast(SCHEMA)])

    def go_away(self) -> None:
        self.database.away = True

    def test_what_is_asked(self, dialect: str, source: dict[str, object], settings: Settings, tmp_path: Path) -> None:
        """All SQL is kept in a file for each database, for people to read."""
        columns = {"event_id": "event_id", "user_id": "CAST(user_id AS VARCHAR)", "name": "LOWER(name)",
                   "happened": "happened", "received": "COALESCE(received, happened)", "amount": "amount"}  # fmt: skip
        made = self.defined(tmp_path, {**source, "columns": columns, "where": "name <> 'ping'"})
        self.put(rows(0, 50))
        self.fetched(made, settings)
        self.put(rows(50, 10))
        self.fetched(made, settings)
        pretty = [sqlglot.parse_one(sql, read=dialect).sql(dialect=dialect, pretty=True) for sql in self.database.asked]
        assert ";\n\n".join(pretty) + ";\n" == (SQL / f"{dialect}.sql").read_text()


@pytest.mark.parametrize("dialect", ["bigquery", "snowflake", "clickhouse", "databricks"])
def test_what_is_not_installed_is_named(dialect: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import ibis

    def missing(*_: object, **__: object) -> None:
        raise ImportError(name=f"a driver of {dialect}")

    monkeypatch.setattr(ibis, "connect", missing)
    with (
        IbisDatabase("shop", f"{dialect}://account/db") as database,
        pytest.raises(PropensityError, match=rf"pip install 'propensity\[{dialect}\]'"),
    ):
        database.columns("web.events")


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("mysql://host/db", "begins with 'mysql'"),
        ("${NOT_SET_ANYWHERE}", "NOT_SET_ANYWHERE is not set"),
        ("postgresql://reader:${NOT_SET_ANYWHERE}@host/db", "NOT_SET_ANYWHERE is not set"),
    ],
)
def test_an_address_that_cannot_be(url: str, problem: str) -> None:
    with pytest.raises(EventLogError, match=problem):
        IbisDatabase("shop", url)


@pytest.mark.parametrize(
    "source",
    [
        {"kind": "database", "url": f"postgresql://reader:{SECRET}@host/db", "table": "web.events"},
        {"kind": "database", "url": f"databricks://host/path?access_token={SECRET}", "table": "web.events"},
        {"kind": "files", "url": f"s3://key:{SECRET}@bucket/logs"},
        {"kind": "files", "url": f"s3://bucket/logs?region=eu&secret_key={SECRET}"},
    ],
)
def test_a_password_in_a_definition_is_refused(source: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="holds a password"):
        SourceContract().defined(Path("x"), source)


def test_a_secret_may_come_from_the_environment() -> None:
    for url in ("postgresql://reader:${PASSWORD}@host/db", "databricks://host/path?access_token=${TOKEN}"):
        SourceContract().defined(Path("x"), {"kind": "database", "url": url, "table": "web.events"})


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://reader:{SECRET}@host/db",
        f"snowflake://reader:{SECRET}@account/db?warehouse=w",
        f"databricks://host/path?access_token={SECRET}",
    ],
)
def test_messages_hold_no_secret(url: str) -> None:
    message = without_secrets(f"no connection to {url} with password {SECRET}", url)
    assert SECRET not in message
    assert "no connection" in message
