"""A table of a real PostgreSQL."""

import re
import threading
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from features.definition import Definition
from features.errors import EventLogError, UnavailableError
from features.settings import Settings
from features.sources import tables
from tests.databases import Postgres
from tests.features.sources.contract import BEGIN, SECRET, Row, SourceContract, rows

TABLE = """CREATE TABLE shop.events (event_id uuid, user_id bigint, name text, happened timestamptz,
           received timestamptz, amount numeric, props jsonb)"""
INSERT = """INSERT INTO shop.events VALUES (:event_id, :user_id, :name, :happened, :received, :amount, '{"a": 1}')"""


class TestPostgresql(SourceContract):
    @pytest.fixture(autouse=True)
    def _table(self, postgres: str) -> Iterator[None]:
        self.engine = sa.create_engine(postgres)
        with self.engine.begin() as connection:
            connection.execute(sa.text("DROP SCHEMA IF EXISTS shop CASCADE"))
            connection.execute(sa.text("CREATE SCHEMA shop"))
            connection.execute(sa.text(TABLE))
            connection.execute(sa.text("DROP ROLE IF EXISTS reader"))
            connection.execute(sa.text(f"CREATE ROLE reader LOGIN PASSWORD '{SECRET}'"))
            connection.execute(sa.text("GRANT USAGE ON SCHEMA shop TO reader"))
            connection.execute(sa.text("GRANT SELECT ON shop.events TO reader"))
        yield
        with self.engine.begin() as connection:
            connection.execute(sa.text("DROP SCHEMA shop CASCADE"))
            connection.execute(sa.text("DROP ROLE IF EXISTS reader"))
        self.engine.dispose()

    @pytest.fixture
    def source(self, postgres: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
        """A role that may only read."""
        address = re.sub(r"//[^@]*@", f"//reader:{SECRET}@", postgres)
        monkeypatch.setenv("SHOP_DATABASE", address)
        self.patch, self.address = monkeypatch, address
        return {"kind": "database", "url": "${SHOP_DATABASE}", "table": "shop.events"}

    def put(self, some: Sequence[Row]) -> None:
        with self.engine.begin() as connection:
            connection.execute(sa.text(INSERT), [dict(row) for row in some])

    def go_away(self) -> None:
        self.patch.setenv("SHOP_DATABASE", re.sub(r":\d+/", ":1/", self.address))

    def test_rows_that_arrive_late_are_fetched_once(self, definition: Definition, settings: Settings) -> None:
        """A long transaction ends after rows with a later arrival were fetched; its rows lie in the overlap."""
        some = rows(0, 100)
        late = [row for row in rows(0, 100) if row["event_id"] in (some[97]["event_id"], some[98]["event_id"])]
        self.put([row for row in some if row not in late])
        assert self.fetched(definition, settings) == 98
        self.put(late)
        assert self.fetched(definition, settings) == 2
        assert self.fetched(definition, settings) == 0
        assert self.log(definition) == self.expected(some)

    def test_rows_that_are_alike_are_all_fetched(self, definition: Definition, settings: Settings) -> None:
        self.put([rows(0, 1)[0]] * 3)
        assert self.fetched(definition, settings) == 3
        self.put([rows(0, 1)[0]] * 2)
        assert self.fetched(definition, settings) == 2
        assert len(self.log(definition)) == 5

    def test_slices_hold_no_row_twice_and_none_is_missing(
        self, definition: Definition, settings: Settings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(tables, "SLICE", 70)
        self.put(rows(0, 1000))
        assert self.fetched(definition, settings) == 1000
        assert len(list(Path(str(definition.events.path)).glob("*.parquet"))) > 10
        assert self.log(definition) == self.expected(rows(0, 1000))

    def test_an_arrival_in_the_future_hides_no_later_row(
        self, definition: Definition, settings: Settings, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A clock that was never set says 2099; what comes tomorrow is fetched all the same."""
        some = rows(0, 50)
        self.put([*some[:30], {**some[30], "received": datetime(2099, 1, 1, tzinfo=UTC)}])
        assert _warned(definition, settings, caplog) == ["1 rows of source 'shop' have an arrival in the future"]
        self.put(some[31:])
        assert self.fetched(definition, settings) == 19
        assert len(self.log(definition)) == 49

    def test_days_alone_may_be_arrivals(self, source: dict[str, object], settings: Settings, tmp_path: Path) -> None:
        columns = {name: name for name in rows(0, 1)[0]} | {"received": "CAST(received AS DATE)"}
        made = self.defined(tmp_path, {**source, "columns": columns})
        self.put(rows(0, 500))
        assert self.fetched(made, settings) == 500
        self.put(rows(500, 10))
        assert self.fetched(made, settings) == 10
        assert self.fetched(made, settings) == 0

    def test_rows_without_an_arrival_are_counted(
        self, definition: Definition, settings: Settings, caplog: pytest.LogCaptureFixture, tmp_path: Path,
        source: dict[str, object],
    ) -> None:  # fmt: skip
        some = [*rows(0, 98), *({**row, "received": None} for row in rows(98, 2))]
        self.put(some)
        assert _warned(definition, settings, caplog) == ["2 rows of source 'shop' have no arrival"]
        self.put([{**row, "received": None} for row in rows(100, 30)])
        with pytest.raises(EventLogError, match=r"32 rows have no 'received'.*COALESCE"):
            self.fetched(definition, settings)
        columns = {name: name for name in some[0]} | {"received": "COALESCE(received, happened)"}
        stated = self.defined(tmp_path, {**source, "columns": columns})
        assert self.fetched(stated, settings) == 130

    def test_without_arrivals_all_is_read_and_what_changed_is_noticed(
        self, source: dict[str, object], settings: Settings, tmp_path: Path
    ) -> None:
        columns = {"user": "user_id", "event": "name", "time": "happened", "id": "event_id"}
        made = self.defined(tmp_path, source)
        events = made.events.model_dump(mode="json") | {"columns": columns, "sources": {"shop": source}}
        plain = self.defined(tmp_path, source, events=events)
        self.put(rows(0, 100))
        assert self.fetched(plain, settings) == 100
        assert self.fetched(plain, settings) == 0
        with self.engine.begin() as connection:
            connection.execute(sa.text("DELETE FROM shop.events WHERE user_id = 3"))
        left = len([row for row in rows(0, 100) if row["user_id"] != 3])
        assert self.fetched(plain, settings) == left

    def test_an_arrival_that_is_no_time_is_refused(
        self, source: dict[str, object], settings: Settings, tmp_path: Path
    ) -> None:
        columns = {"user_id": "user_id", "name": "name", "happened": "happened", "received": "user_id", "event_id": "1"}
        with pytest.raises(EventLogError, match=r"'received', by which rows are fetched, is int64.*TIMESTAMP"):
            self.fetched(self.defined(tmp_path, {**source, "columns": columns}), settings)

    @pytest.mark.parametrize("table", ["shop.nothing", "hidden.events"])
    def test_a_table_that_cannot_be_read_is_named(
        self, table: str, source: dict[str, object], settings: Settings, tmp_path: Path
    ) -> None:
        with self.engine.begin() as connection:
            connection.execute(sa.text("CREATE SCHEMA IF NOT EXISTS hidden"))
            connection.execute(sa.text("CREATE TABLE IF NOT EXISTS hidden.events (LIKE shop.events)"))
        with pytest.raises(UnavailableError, match=r"sources\.shop cannot be read.*(nothing|hidden|events)") as raised:
            self.fetched(self.defined(tmp_path, {**source, "table": table}), settings)
        assert SECRET not in str(raised.value)

    def test_names_that_are_words_of_sql(self, source: dict[str, object], settings: Settings, tmp_path: Path) -> None:
        with self.engine.begin() as connection:
            connection.execute(sa.text(
                'CREATE VIEW shop."Order Lines" AS SELECT event_id, user_id AS "user", name AS "order", '
                'happened AS "time", received AS "when", amount AS "Total" FROM shop.events'))  # fmt: skip
            connection.execute(sa.text('GRANT SELECT ON shop."Order Lines" TO reader'))
        self.put(rows(0, 20))
        columns = {"event_id": "event_id", "user_id": '"user"', "name": '"order"', "happened": '"time"',
                   "received": '"when"', "amount": '"Total"'}  # fmt: skip
        made = self.defined(tmp_path, {**source, "table": 'shop."Order Lines"', "columns": columns})
        assert self.fetched(made, settings) == 20
        assert self.log(made) == self.expected(rows(0, 20))

    def test_nothing_is_written_at_the_source(self, definition: Definition, settings: Settings) -> None:
        self.put(rows(0, 10))
        self.fetched(definition, settings)
        with self.engine.begin() as connection:
            made = connection.execute(sa.text("SELECT count(*) FROM pg_class WHERE relowner = 'reader'::regrole"))
            assert made.scalar() == 0


@pytest.mark.long
def test_a_server_that_is_restarted_in_the_middle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Slices that were fetched before are kept, and the next fetch takes the rest: none lost, none twice."""
    server = Postgres(tmp_path)
    monkeypatch.setenv("SHOP_DATABASE", server.url)
    monkeypatch.setattr(tables, "SLICE", 50_000)
    contract, settings = SourceContract(), Settings(home=tmp_path / "var")
    made = contract.defined(tmp_path, {"kind": "database", "url": "${SHOP_DATABASE}", "table": "shop.events"})
    count, engine = 400_000, sa.create_engine(server.url)
    try:
        with engine.begin() as connection:
            connection.execute(sa.text("CREATE SCHEMA shop"))
            connection.execute(sa.text(TABLE))
            made_up = """INSERT INTO shop.events SELECT gen_random_uuid(), i % 997, 'visit', t, t + interval '1 second'
                         FROM (SELECT i, CAST(:begin AS timestamptz) + i * interval '9 seconds' AS t
                               FROM generate_series(1, :count) AS i) AS x"""
            connection.execute(sa.text(made_up), {"begin": BEGIN - timedelta(days=90), "count": count})
        engine.dispose()
        folder = Path(str(made.events.path))
        interrupted = threading.Thread(target=_restart_after, args=(server, folder, 2))
        interrupted.start()
        with pytest.raises(UnavailableError, match="what was fetched is kept"):
            contract.fetched(made, settings)
        interrupted.join()
        kept = contract.log(made)
        assert 0 < len(kept) < count
        assert contract.fetched(made, settings) == count - len(kept)
        ids = [row["event_id"] for row in contract.log(made)]
        assert len(ids) == len(set(ids)) == count
    finally:
        server.stop()


def _restart_after(server: Postgres, folder: Path, files: int) -> None:
    until = time.monotonic() + 120
    while len(list(folder.glob("*.parquet"))) < files and time.monotonic() < until:
        time.sleep(0.005)
    server.stop()
    server.start()


def _warned(definition: Definition, settings: Settings, caplog: pytest.LogCaptureFixture) -> list[str]:
    from features.open_log import open_log
    from features.system.progress import unseen

    open_log(definition, settings, ends=None, steps=unseen)
    return [message.split(",")[0] for message in caplog.messages if "source" in message]
