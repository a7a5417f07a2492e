"""What every importer must do; inherit `ImporterContract`, declare an export and what the log has of it."""

import gzip
import json
import shutil
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

import polars as pl
import pytest

from features.definition import load_definition
from features.event_store.store import EventStore
from features.imports.convert import Converted
from features.imports.importer import CANONICAL, load
from features.imports.job import Passed, import_files
from features.open_log import open_log
from features.proposal.draft import draft
from features.proposal.given import Given
from features.reading.look import LocalLook
from features.reading.source import EventLog
from features.settings import Settings
from features.system.progress import unseen
from propensity.preview.page import preview
from tests.worlds import definition_of

Row = Mapping[str, object]


def lines(rows: Sequence[object]) -> str:
    """Lines of JSON."""
    return "".join(json.dumps(row) + "\n" for row in rows)


def gz(path: Path, text: str) -> Path:
    """A gzipped text."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(text.encode()))
    return path


def _shown(value: object) -> object:
    return value.isoformat().replace("+00:00", "Z") if isinstance(value, datetime) else value


class ImporterContract:
    """The contract.

    Attributes:
        like: the importer.
        given: what is given besides the export, by keys of the importer.
        expected: rows of the log in order of time, each with some of its columns; times as ISO text in UTC.
        dropped: rows left out, by reason.
        refunds: events that a proposed definition takes off what purchases are worth.
    """

    like: str
    given: Mapping[str, str] = {}
    expected: Sequence[Row]
    dropped: Mapping[str, int] = {}
    refunds: Sequence[str] = ()

    def export(self, folder: Path) -> None:
        """Write an export into a folder."""
        raise NotImplementedError

    @pytest.fixture
    def exported(self, tmp_path: Path) -> Path:
        folder = tmp_path / "export"
        folder.mkdir()
        self.export(folder)
        return folder

    def imported(self, exported: Path, to: Path) -> list[Converted | Passed]:
        return list(import_files([exported], load(self.like).adding({}, **self.given), to))

    def log(self, folder: Path) -> pl.DataFrame:
        """What was imported, in order of time."""
        files = sorted(folder.glob("*.parquet"))
        return pl.concat([pl.read_parquet(file) for file in files]).sort("time", "event", maintain_order=True)

    def test_the_log_has_what_was_exported(self, exported: Path, tmp_path: Path) -> None:
        done = self.imported(exported, tmp_path / "log")
        log = self.log(tmp_path / "log")
        assert {n: t for n, t in log.schema.items() if n in CANONICAL} == {
            n: pl.Datetime("us", "UTC") if n in ("time", "arrived") else pl.String()
            for n in log.columns
            if n in CANONICAL
        }
        rows = [{name: _shown(value) for name, value in row.items()} for row in log.to_dicts()]
        assert [{name: row[name] for name in want} for row, want in zip(rows, self.expected, strict=True)] == list(
            self.expected
        )
        dropped: dict[str, int] = {}
        for one in done:
            for reason, n in one.dropped.items() if isinstance(one, Converted) else ():
                dropped[reason] = dropped.get(reason, 0) + n
        assert dropped == self.dropped

    def test_nothing_is_imported_twice(self, exported: Path, tmp_path: Path) -> None:
        self.imported(exported, tmp_path / "log")
        before = {file: file.read_bytes() for file in (tmp_path / "log").glob("*.parquet")}
        again = self.imported(exported, tmp_path / "log")
        assert all(isinstance(one, Passed) for one in again)
        moved = shutil.copytree(exported, tmp_path / "elsewhere")
        assert all(isinstance(one, Passed) for one in self.imported(moved, tmp_path / "log"))
        assert {file: file.read_bytes() for file in (tmp_path / "log").glob("*.parquet")} == before

    def test_an_import_that_fails_half_way_is_done_by_the_next(
        self, exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def killed(*_: object) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr("features.imports.convert._write", killed)
            with pytest.raises(KeyboardInterrupt):
                self.imported(exported, tmp_path / "log")
        assert not list((tmp_path / "log").glob("*.parquet"))
        self.imported(exported, tmp_path / "log")
        assert len(self.log(tmp_path / "log")) == len(self.expected)

    def test_a_definition_can_be_proposed_for_the_log(self, exported: Path, tmp_path: Path) -> None:
        self.imported(exported, tmp_path / "log")
        known = Given(None, {key: key for key in ("user", "event", "time")}, None, "utf-8")
        found = draft("mine", "log", tmp_path, known)
        assert [kind.name for kind in found.signals.refunds] == list(self.refunds)
        (tmp_path / "mine.yaml").write_text(found.text)
        steps, home = unseen, Settings(home=tmp_path / "var")
        store = open_log(load_definition(tmp_path / "mine.yaml"), home, ends=None, steps=steps)
        assert isinstance(store, EventStore)
        assert preview(store, LocalLook(store.log), steps).verdict.startswith("Verdict: "), (
            "check ends in a verdict, not in an error"
        )

    def test_the_product_reads_the_log(self, exported: Path, tmp_path: Path) -> None:
        self.imported(exported, tmp_path / "log")
        log = self.log(tmp_path / "log")
        columns = {name: name for name in CANONICAL if name in log.columns}
        definition = definition_of(
            events={"path": str(tmp_path / "log"), "columns": columns, "ends": "2030-01-01"},
            signals={"visit": {"where": "event IS NOT NULL", "activity": True}},
        )
        events = EventLog(definition).read()
        assert sorted(events.users.to_list()) == sorted({str(row["user"]) for row in self.expected})
        ids = log["id"].n_unique() if "id" in log.columns else len(log)
        assert len(events.t) == ids
