"""Files in a bucket like S3's, and on this machine: Parquet, and exports that an importer reads."""

import gzip
import io
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import polars as pl
import pytest

from features.definition import Definition
from features.errors import EventLogError
from features.settings import Settings
from features.sources.fetch import fetch, fetch_whole
from features.system.progress import unseen
from propensity.commands.log.sourced import source_of
from tests.buckets import Buckets, bucket_server
from tests.features.sources.contract import BEGIN, Row, SourceContract, rows
from tests.worlds import DEFINITION


def parquet(some: Sequence[Row], path: Path) -> None:
    """A Parquet file of some rows, with a column that nobody needs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pl.DataFrame([dict(row) for row in some]).with_columns(other=pl.lit("x")).write_parquet(path)


class TestLocalFiles(SourceContract):
    @pytest.fixture
    def source(self, tmp_path: Path) -> dict[str, object]:
        self.folder, self.number = tmp_path / "exported", 0
        self.folder.mkdir()
        return {"kind": "files", "url": "exported"}

    def put(self, some: Sequence[Row]) -> None:
        self.number += 1
        parquet(some, self.folder / f"{self.number}.parquet")

    def go_away(self) -> None:
        shutil.rmtree(self.folder)

    def test_a_file_that_has_changed_takes_the_place_of_what_it_was(
        self, definition: Definition, settings: Settings
    ) -> None:
        self.put(rows(0, 100))
        self.put(rows(100, 100))
        self.fetched(definition, settings)
        parquet(rows(50, 50), self.folder / "1.parquet")
        assert self.fetched(definition, settings) == 50
        assert self.log(definition) == self.expected(rows(50, 150))

    def test_what_was_made_of_files_that_are_gone_stays(self, definition: Definition, settings: Settings) -> None:
        """As with the files of a log: archives are cleared, and events stay."""
        self.put(rows(0, 100))
        self.put(rows(100, 100))
        self.fetched(definition, settings)
        (self.folder / "1.parquet").unlink()
        assert self.fetched(definition, settings) == 0
        assert self.log(definition) == self.expected(rows(0, 200))

    def test_folders_say_the_values_of_partitions(
        self, source: dict[str, object], settings: Settings, tmp_path: Path
    ) -> None:
        parquet(rows(0, 10), self.folder / "country=de" / "1.parquet")
        parquet(rows(10, 10), self.folder / "country=fr" / "1.parquet")
        columns = {name: name for name in rows(0, 1)[0]} | {"country": "UPPER(country)"}
        made = self.defined(tmp_path, {**source, "columns": columns})
        self.fetched(made, settings)
        found = pl.concat(map(pl.read_parquet, sorted((tmp_path / "log").glob("*.parquet"))))
        assert dict(found.group_by("country").len().iter_rows()) == {"DE": 10, "FR": 10}

    def test_a_pattern_names_some_files(self, source: dict[str, object], settings: Settings, tmp_path: Path) -> None:
        parquet(rows(0, 10), self.folder / "a" / "1.parquet")
        parquet(rows(10, 10), self.folder / "b" / "1.parquet")
        parquet(rows(20, 10), self.folder / "_temporary" / "1.parquet")
        made = self.defined(tmp_path, {**source, "url": "exported/a*/*.parquet"})
        assert self.fetched(made, settings) == 10
        assert self.fetched(self.defined(tmp_path, {**source, "url": "exported"}), settings) == 10

    def test_a_file_that_is_damaged_is_named(self, definition: Definition, settings: Settings) -> None:
        self.put(rows(0, 10))
        (self.folder / "2.parquet").write_bytes(b"PAR1 is not enough")
        with pytest.raises(EventLogError, match=r"events\.sources\.shop.*repair or remove"):
            self.fetched(definition, settings)

    def test_nested_fields_become_columns(self, source: dict[str, object], settings: Settings, tmp_path: Path) -> None:
        frame = pl.DataFrame([dict(row) for row in rows(0, 20)]).with_columns(who=pl.struct(id="user_id"))
        frame.drop("user_id").write_parquet(self.folder / "1.parquet")
        columns = {name: name for name in rows(0, 1)[0]} | {"user_id": "who.id"}
        made = self.defined(tmp_path, {**source, "columns": columns})
        assert self.fetched(made, settings) == 20
        assert self.log(made) == self.expected(rows(0, 20))


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with bucket_server() as address:
        yield address


class TestBucket(SourceContract):
    @pytest.fixture
    def source(self, server: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
        buckets, self.patch, self.number = Buckets(server, monkeypatch), monkeypatch, 0
        self.s3, self.bucket = buckets.s3, buckets.make()
        self.patch.setenv("BUCKET", buckets.address(f"{self.bucket}/logs"))
        return {"kind": "files", "url": "${BUCKET}"}

    def put(self, some: Sequence[Row]) -> None:
        self.number += 1
        frame = pl.DataFrame([dict(row) for row in some])
        content = io.BytesIO()
        frame.write_parquet(content)
        self.s3.put_object(Bucket=self.bucket, Key=f"logs/2026/{self.number}.parquet", Body=content.getvalue())

    def go_away(self) -> None:
        self.patch.setenv("BUCKET", f"s3://{self.bucket}/logs?endpoint_override=127.0.0.1:1&scheme=http")

    def test_an_archive_of_another_tool(self, source: dict[str, object], settings: Settings, tmp_path: Path) -> None:
        """Segment writes gzipped lines into buckets."""
        messages = [
            {"type": "track", "event": "visit", "userId": f"u{i % 3}", "messageId": f"m{i}",
             "timestamp": BEGIN.isoformat(), "receivedAt": BEGIN.isoformat()}
            for i in range(20)
        ]  # fmt: skip
        body = gzip.compress("".join(json.dumps(message) + "\n" for message in messages).encode())
        self.s3.put_object(Bucket=self.bucket, Key="logs/1767225600000/1.gz", Body=body)
        columns = {name: name for name in ("user", "event", "time", "arrived", "id")}
        events = {"path": str(tmp_path / "log"), "columns": columns, "sources": {"cdp": {**source, "like": "segment"}}}
        made = Definition.model_validate(DEFINITION | {"events": events})
        made._source = tmp_path / "propensity.yaml"
        [done] = fetch(made, settings, unseen)
        assert (done.source, done.rows) == ("cdp", 20)
        [done] = fetch(made, settings, unseen)
        assert done.rows == 0
        # what `init` does, which knows no columns yet
        bucket = source_of(os.environ["BUCKET"], None, "segment")
        assert bucket is not None
        whole = fetch_whole("log", bucket, tmp_path, tmp_path / "whole", unseen)
        assert whole.rows == 20


def test_logs_of_different_columns_become_one(tmp_path: Path) -> None:
    """Orders are lines of CSV with names of their own, visits are Parquet: one log of both."""
    parquet(rows(0, 50), tmp_path / "visits" / "1.parquet")
    lines = ["Order;Customer;When;Total"] + [f"o{i};{i};0{1 + i}.02.2026 10:00;{i},50" for i in range(5)]
    (tmp_path / "orders.csv").write_text("\n".join(lines), encoding="latin-1")
    (tmp_path / "orders.yaml").write_text(
        "title: orders\nuser: Customer\nevent: \"'order'\"\n"
        "time: {sql: '\"When\"', format: '%d.%m.%Y %H:%M'}\nid: '\"Order\"'\n"
        "columns: {total: {sql: Total, kind: number}}\nzone: Europe/Berlin\ndecimal: ','\nencoding: latin-1\n"
    )
    names = {"user": "user_id", "event": "name", "time": "happened", "id": "event_id"}
    sources = {
        "app": {"kind": "files", "url": "visits", "columns": names},
        "orders": {"kind": "files", "url": "orders.csv", "like": "orders.yaml"},
    }
    columns = {name: name for name in names}
    signals = {"visit": {"where": "event <> 'order'", "activity": True},
               "purchase": {"where": "event = 'order'", "value": "total"}}  # fmt: skip
    events = {"path": "log", "columns": columns, "sources": sources, "ends": "2027-01-01T00:00:00Z"}
    made = Definition.model_validate(DEFINITION | {"events": events, "signals": signals})
    made._source = tmp_path / "propensity.yaml"
    from features.event_store.store import EventStore
    from features.open_log import open_log

    log = open_log(made, Settings(home=tmp_path / "var"), ends=None, steps=unseen)
    assert isinstance(log, EventStore)
    assert log.counts["rows"] == 55
    spent = sum(float(events.values.sum()) for events in log.map(lambda events: events))
    assert spent == pytest.approx(sum(i + 0.5 for i in range(5)))


def test_a_source_that_holds_the_log_is_refused(tmp_path: Path) -> None:
    """Each fetch would fetch what the one before has made."""
    parquet(rows(0, 5), tmp_path / "data" / "1.parquet")
    made = SourceContract().defined(tmp_path / "data", {"kind": "files", "url": "."})
    with pytest.raises(EventLogError, match=r"holds the folder events\.path"):
        fetch(made, Settings(home=tmp_path / "var"), unseen)


def test_a_file_of_no_source_is_refused(tmp_path: Path) -> None:
    parquet(rows(0, 5), tmp_path / "exported" / "1.parquet")
    made = SourceContract().defined(tmp_path, {"kind": "files", "url": "exported"})
    parquet(rows(0, 5), tmp_path / "log" / "mine.parquet")
    with pytest.raises(EventLogError, match=r"mine\.parquet is of no source"):
        fetch(made, Settings(home=tmp_path / "var"), unseen)
