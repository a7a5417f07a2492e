"""What every source must do; inherit `SourceContract`, say where rows are put and how they are named."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq
import pytest

from features.definition import Definition
from features.errors import EventLogError, PropensityError, UnavailableError
from features.event_store.erasure import erase_events
from features.event_store.store import EventStore
from features.events.compacted import NONE
from features.events.tombstones import Tombstones
from features.open_log import open_log
from features.settings import Settings
from features.sources.fetch import fetch
from features.system.progress import unseen
from tests.worlds import DEFINITION

Row = Mapping[str, Any]
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
COLUMNS = ("event_id", "user_id", "name", "happened", "received", "amount")
SECRET = "hunter2secret"


def rows(first: int, count: int, *, every: timedelta = timedelta(minutes=7)) -> list[Row]:
    """Some events, each seven minutes after the one before; users are numbers."""
    return [
        {
            "event_id": f"00000000-0000-4000-8000-{i:012}",
            "user_id": i % 13,
            "name": "purchase" if i % 5 == 0 else "visit",
            "happened": BEGIN + i * every,
            "received": BEGIN + i * every + timedelta(seconds=i % 3),
            "amount": 9.5 if i % 5 == 0 else None,
        }
        for i in range(first, first + count)
    ]


class SourceContract:
    """The contract.

    Attributes:
        removes: whether rows that the source has no more leave the log, too.
    """

    removes = False

    @pytest.fixture
    def source(self) -> dict[str, object]:
        """The source, as it stands in the definition; its table or folder is there, and is empty."""
        raise NotImplementedError

    def put(self, some: Sequence[Row]) -> None:
        """Add rows to the source."""
        raise NotImplementedError

    def remove(self, user: int) -> None:
        """Remove a user's rows from the source; where `removes` says so."""
        raise NotImplementedError

    def go_away(self) -> None:
        """Make the source unreachable."""
        raise NotImplementedError

    @pytest.fixture
    def settings(self, tmp_path: Path) -> Settings:
        return Settings(home=tmp_path / "var")

    @pytest.fixture
    def definition(self, source: dict[str, object], tmp_path: Path) -> Definition:
        return self.defined(tmp_path, source)

    def defined(self, folder: Path, source: dict[str, object], **changes: object) -> Definition:
        """A definition whose log comes from a source."""
        columns = {"user": "user_id", "event": "name", "time": "happened", "arrived": "received", "id": "event_id"}
        signals = {
            "visit": {"where": "name = 'visit'", "activity": True},
            "cart_add": {"where": "name = 'cart_add'"},
            "purchase": {"where": "name = 'purchase'", "value": "amount"},
        }
        events = {"path": str(folder / "log"), "sources": {"shop": source}, "columns": columns}
        events |= {"ends": "2027-01-01T00:00:00Z"}
        made = Definition.model_validate(DEFINITION | {"events": events, "signals": signals} | changes)
        made._source = folder / "propensity.yaml"
        return made

    def fetched(self, definition: Definition, settings: Settings) -> int:
        [done] = fetch(definition, settings, unseen)
        return done.rows

    def log(self, definition: Definition) -> list[Row]:
        """The rows that were fetched, in the order of their ids."""
        files = sorted(Path(str(definition.events.path)).glob("*.parquet"))
        frames = [frame for frame in map(pl.read_parquet, files) if len(frame)]
        frame = pl.concat([f.select(COLUMNS) for f in frames], how="vertical_relaxed") if frames else pl.DataFrame()
        return frame.sort("event_id").to_dicts() if len(frame) else []

    def expected(self, some: Sequence[Row]) -> list[Row]:
        return [{**row, "user_id": str(row["user_id"])} for row in some]

    def test_what_is_there_is_fetched(self, definition: Definition, settings: Settings) -> None:
        self.put(rows(0, 500))
        assert self.fetched(definition, settings) == 500
        assert self.log(definition) == self.expected(rows(0, 500))

    def test_only_what_is_new_is_fetched(self, definition: Definition, settings: Settings) -> None:
        self.put(rows(0, 300))
        self.fetched(definition, settings)
        kept = {path: path.stat().st_mtime_ns for path in Path(str(definition.events.path)).glob("*.parquet")}
        assert self.fetched(definition, settings) == 0
        self.put(rows(300, 200))
        assert self.fetched(definition, settings) == 200
        assert self.log(definition) == self.expected(rows(0, 500))
        assert all(path.stat().st_mtime_ns == changed for path, changed in kept.items())

    def test_a_fetch_that_is_killed_goes_on(
        self, definition: Definition, settings: Settings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Whenever it stops, what is there afterwards is whole, and the next one fetches the rest."""
        self.put(rows(0, 300))
        self.put(rows(300, 300))
        real, left = pq.ParquetWriter.write_table, 0

        def write(*given: object, **named: object) -> None:
            nonlocal left
            if left == 0:
                raise KeyboardInterrupt
            left -= 1
            real(*given, **named)

        for stop in (0, 1):
            with monkeypatch.context() as patched, suppress(KeyboardInterrupt):
                patched.setattr(pq.ParquetWriter, "write_table", write)
                left = stop
                self.fetched(definition, settings)
            ids = [row["event_id"] for row in self.log(definition)]
            assert len(ids) == len(set(ids))
        self.fetched(definition, settings)
        assert self.log(definition) == self.expected(rows(0, 600))
        assert not [path for path in Path(str(definition.events.path)).iterdir() if path.name.startswith(".fetching")]

    def test_who_was_erased_is_not_fetched(self, definition: Definition, settings: Settings) -> None:
        Tombstones.of(["3", "7"]).save(settings.events(definition.name))
        self.put(rows(0, 300))
        self.fetched(definition, settings)
        assert self.log(definition) == self.expected([r for r in rows(0, 300) if r["user_id"] not in (3, 7)])

    def test_who_is_erased_leaves_what_was_fetched(self, definition: Definition, settings: Settings) -> None:
        """The store is not rebuilt for it, and the source brings nobody back."""
        self.put(rows(0, 300))
        _counts(definition, settings)
        erased = erase_events(definition, settings.events(definition.name), NONE, ["3"])
        of_them = [row for row in rows(0, 300) if row["user_id"] == 3]
        assert (erased.compacted, erased.fetched) == (0, len(of_them))
        left = [row for row in rows(0, 300) if row["user_id"] != 3]
        assert self.log(definition) == self.expected(left)
        self.put(rows(300, 50))
        counts = _counts(definition, settings)
        left += [row for row in rows(300, 50) if row["user_id"] != 3]
        assert self.log(definition) == self.expected(left)
        assert counts["erased user"] == len(of_them)

    def test_other_columns_are_fetched_from_the_start(
        self, source: dict[str, object], definition: Definition, settings: Settings, tmp_path: Path
    ) -> None:
        self.put(rows(0, 300))
        self.fetched(definition, settings)
        columns = {name: name for name in COLUMNS} | {"amount": "amount * 2", "extra": "LOWER(name)"}
        changed = self.defined(tmp_path, {**source, "columns": columns, "where": "user_id < 10"})
        self.fetched(changed, settings)
        wanted = [row for row in rows(0, 300) if row["user_id"] < 10]
        doubled = [{**row, "amount": row["amount"] and 2 * row["amount"]} for row in wanted]
        assert self.log(changed) == self.expected(doubled)

    def test_the_log_is_read_as_any_other(self, definition: Definition, settings: Settings, tmp_path: Path) -> None:
        """What is taken in fetch by fetch is what is taken in at once."""
        self.put(rows(0, 300))
        assert _counts(definition, settings)["rows"] == 300
        self.put(rows(300, 200))
        step_by_step = _counts(definition, settings)
        assert step_by_step["rows"] == 500
        assert step_by_step == _counts(definition, Settings(home=tmp_path / "other"))

    def test_what_the_source_has_no_more(self, definition: Definition, settings: Settings) -> None:
        if not self.removes:
            pytest.skip("this source keeps what it had")
        self.put(rows(0, 300))
        assert _counts(definition, settings)["rows"] == 300
        self.remove(5)
        wanted = [row for row in rows(0, 300) if row["user_id"] != 5]
        counts = _counts(definition, settings)
        assert self.log(definition) == self.expected(wanted)
        assert counts["rows"] == len(wanted)

    def test_a_source_that_is_away(self, definition: Definition, settings: Settings) -> None:
        self.put(rows(0, 100))
        self.fetched(definition, settings)
        self.go_away()
        with pytest.raises(PropensityError) as raised:
            self.fetched(definition, settings)
        assert isinstance(raised.value, EventLogError | UnavailableError)
        assert SECRET not in str(raised.value)
        assert "shop" in str(raised.value)
        assert self.log(definition) == self.expected(rows(0, 100))

    def test_a_column_that_is_not_there(self, source: dict[str, object], settings: Settings, tmp_path: Path) -> None:
        self.put(rows(0, 10))
        columns = {name: name for name in COLUMNS} | {"amount": "turnover"}
        with pytest.raises(EventLogError, match=r"events\.sources\.shop uses 'turnover'.*event_id"):
            self.fetched(self.defined(tmp_path, {**source, "columns": columns}), settings)


def _counts(definition: Definition, settings: Settings) -> dict[str, int]:
    log = open_log(definition, settings, ends=None, steps=unseen)
    assert isinstance(log, EventStore)
    return log.counts
