"""The command that fetches what is new at sources, and the commands that fetch before they read."""

from pathlib import Path

import polars as pl
import pytest
import sqlalchemy as sa
from deltalake import write_deltalake

from tests.conftest import World
from tests.features.proposal.shop import shop
from tests.propensity.programs import Program

DEFINITION = """
name: fetched
events:
  path: log
  sources:
    shop: {kind: files, url: "${EXPORTED}"}
  columns: {user: customer_id, event: event_name, time: occurred_at, id: event_id}
  ends: 2026-06-01T00:00:00Z
signals:
  visit: {where: "event_name IS NOT NULL", activity: true}
windows: [7d, 30d]
outcomes:
  churn: {will_not: visit, within: 14d, among: "days_since_visit < 28"}
"""


def test_fetch_and_check(
    program: Program, untrained_world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = shop(users=300)
    (tmp_path / "exported").mkdir()
    half = len(frame) // 2
    frame[:half].write_parquet(tmp_path / "exported/1.parquet")
    to = tmp_path / "mine.yaml"
    to.write_text(DEFINITION)
    home = {"PROPENSITY_HOME": str(tmp_path / "var")}
    monkeypatch.setenv("EXPORTED", str(tmp_path / "exported"))
    done = program(untrained_world, "fetch", "--definition", str(to), **home)
    assert done.code == 0, done.err
    assert f"shop: {half:,} rows" in done.out
    frame[half:].write_parquet(tmp_path / "exported/2.parquet")
    checked = program(untrained_world, "check", "--definition", str(to), "--json", **home)
    assert checked.code in (0, 1), checked.err
    fetched = sum(len(pl.read_parquet(file)) for file in (tmp_path / "log").glob("*.parquet"))
    assert fetched == len(frame)
    done = program(untrained_world, "fetch", "--definition", str(to), **home)
    assert "shop: 0 rows" in done.out
    monkeypatch.delenv("EXPORTED")
    done = program(untrained_world, "fetch", "--definition", str(to), **home)
    assert (done.code, "EXPORTED is not set" in done.err) == (2, True), done.err


def test_a_definition_without_sources_says_so(program: Program, untrained_world: World) -> None:
    done = program(untrained_world, "fetch")
    assert done.code == 2
    assert "has no sources" in done.err
    assert "events.sources" in done.err


def test_init_of_a_table_of_a_lake(program: Program, untrained_world: World, tmp_path: Path) -> None:
    write_deltalake(tmp_path / "lake", shop(users=300).to_arrow())
    _init_and_check(program, untrained_world, tmp_path, str(tmp_path / "lake"))


def test_init_of_a_table_of_a_database(
    program: Program, untrained_world: World, tmp_path: Path, postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = sa.create_engine(postgres)
    with engine.begin() as connection:
        shop(users=300).write_database("events", connection, engine="sqlalchemy")
    engine.dispose()  # polars would leave the connection to the garbage collector
    monkeypatch.setenv("SHOP_DATABASE", postgres)
    done = program(untrained_world, "init", "${SHOP_DATABASE}", "--to", str(tmp_path / "mine.yaml"), "--yes")
    assert (done.code, "--table" in done.err) == (2, True), done.err
    _init_and_check(program, untrained_world, tmp_path, "${SHOP_DATABASE}", "--table", "public.events")


def test_an_address_with_a_password_is_refused(program: Program, untrained_world: World, tmp_path: Path) -> None:
    address = "postgresql://reader:hunter2@host/db"
    done = program(untrained_world, "init", address, "--table", "x", "--to", str(tmp_path / "mine.yaml"), "--yes")
    assert done.code == 2
    assert "holds a password" in done.err
    assert "hunter2" not in done.err


def _init_and_check(program: Program, world: World, folder: Path, *log: str) -> None:
    to = folder / "mine.yaml"
    done = program(world, "init", *log, "--to", str(to), "--yes")
    assert done.code == 0, done.err
    assert "rows fetched" in done.out
    assert "sources:" in to.read_text()
    checked = program(world, "check", "--definition", str(to), PROPENSITY_HOME=str(folder / "var"))
    assert checked.code == 0, checked.out + checked.err
    assert "it can be trained" in checked.out
    again = program(world, "fetch", "--definition", str(to), PROPENSITY_HOME=str(folder / "var"))
    assert "log: 0 rows" in again.out
