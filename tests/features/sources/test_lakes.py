"""Delta and Iceberg tables on disk."""

from collections.abc import Sequence
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest

from features.definition import Definition
from features.settings import Settings
from tests.features.sources.contract import Row, SourceContract, rows

SCHEMA = pa.schema(
    [
        ("event_id", pa.string()),
        ("user_id", pa.int64()),
        ("name", pa.string()),
        ("happened", pa.timestamp("us", "UTC")),
        ("received", pa.timestamp("us", "UTC")),
        ("amount", pa.float64()),
        ("other", pa.string()),
    ]
)


def arrow(some: Sequence[Row]) -> pa.Table:
    return pa.Table.from_pylist([{**row, "other": "x"} for row in some], schema=SCHEMA)


class TestDelta(SourceContract):
    removes = True

    @pytest.fixture
    def source(self, tmp_path: Path) -> dict[str, object]:
        from deltalake import write_deltalake

        self.place = tmp_path / "lake"
        write_deltalake(self.place, SCHEMA.empty_table())
        return {"kind": "delta", "url": "lake"}

    def put(self, some: Sequence[Row]) -> None:
        from deltalake import write_deltalake

        write_deltalake(self.place, arrow(some), mode="append")

    def remove(self, user: int) -> None:
        from deltalake import DeltaTable

        DeltaTable(self.place).delete(f"user_id = {user}")

    def go_away(self) -> None:
        (self.place / "_delta_log").rename(self.place / "gone")

    def test_what_is_written_together_again_is_not_twice(self, definition: Definition, settings: Settings) -> None:
        """A table is compacted: other files with the same rows."""
        from deltalake import DeltaTable

        for first in (0, 100, 200):
            self.put(rows(first, 100))
        self.fetched(definition, settings)
        DeltaTable(self.place).optimize.compact()
        self.fetched(definition, settings)
        assert self.log(definition) == self.expected(rows(0, 300))

    def test_partitions_are_columns(self, settings: Settings, tmp_path: Path) -> None:
        from deltalake import write_deltalake

        write_deltalake(tmp_path / "parts", arrow(rows(0, 100)), partition_by=["name"])
        made = self.defined(tmp_path, {"kind": "delta", "url": "parts"})
        assert self.fetched(made, settings) == 100
        assert self.log(made) == self.expected(rows(0, 100))


class TestIceberg(SourceContract):
    removes = True

    @pytest.fixture
    def source(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
        from pyiceberg.catalog import load_catalog
        from pyiceberg.utils.config import Config

        self.patch = monkeypatch
        (tmp_path / "warehouse").mkdir()
        monkeypatch.setenv("PYICEBERG_CATALOG__SHOP__URI", f"sqlite:///{tmp_path}/catalog.db")
        monkeypatch.setenv("PYICEBERG_CATALOG__SHOP__WAREHOUSE", f"file://{tmp_path}/warehouse")
        catalog = load_catalog("shop", **Config().get_catalog_config("shop"))
        catalog.create_namespace("web")
        self.table = catalog.create_table("web.events", schema=SCHEMA)
        return {"kind": "iceberg", "catalog": "shop", "table": "web.events"}

    def put(self, some: Sequence[Row]) -> None:
        self.table.append(arrow(some))

    def remove(self, user: int) -> None:
        self.table.delete(f"user_id = {user}")

    def go_away(self) -> None:
        self.patch.setenv("PYICEBERG_CATALOG__SHOP__URI", "sqlite:////nowhere/catalog.db")

    def test_a_column_that_was_renamed(self, definition: Definition, settings: Settings) -> None:
        """Files that were written before have the name of their time; the table knows both."""
        self.put(rows(0, 50))
        self.fetched(definition, settings)
        with self.table.update_schema() as change:
            change.rename_column("other", "remark")
        self.table.append(arrow(rows(50, 50)).rename_columns([*SCHEMA.names[:-1], "remark"]))
        self.fetched(definition, settings)
        assert self.log(definition) == self.expected(rows(0, 100))
        assert pl.read_parquet(next((settings.home.parent / "log").glob("*.parquet"))).columns == sorted(
            SCHEMA.names[:-1]
        )
