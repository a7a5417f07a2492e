"""The command that proposes a definition."""

import io
import sys
from pathlib import Path

import duckdb
import polars as pl
import pytest
import yaml

from tests.conftest import World
from tests.features.proposal.shop import shop
from tests.propensity.programs import Program


def test_a_log_is_described_and_passes_check(program: Program, untrained_world: World, tmp_path: Path) -> None:
    shop(users=400).write_parquet(tmp_path / "log.parquet")
    to = tmp_path / "mine.yaml"
    done = program(untrained_world, "init", str(tmp_path / "log.parquet"), "--to", str(to), "--yes")
    assert done.code == 0
    assert "customer_id" in done.out
    assert "Order Completed" in done.out
    assert "log.parquet" in to.read_text()
    home = {"PROPENSITY_HOME": str(tmp_path / "var")}
    checked = program(untrained_world, "check", "--definition", str(to), **home)
    assert checked.code == 0, checked.out + checked.err
    assert "it can be trained" in checked.out
    again = program(untrained_world, "init", str(tmp_path / "log.parquet"), "--to", str(to), "--yes")
    assert again.code == 2
    assert "is there already" in again.err


def test_an_export_is_imported_and_described(program: Program, untrained_world: World, tmp_path: Path) -> None:
    (tmp_path / "export").mkdir()
    (tmp_path / "export/orders_export_1.csv").write_text(
        "Name,Email,Financial Status,Total,Refunded Amount,Currency,Created at,Id\n"
        "#1,ann@example.com,paid,40.00,,USD,2026-01-01 10:00:00 -0500,101\n"
        "#1,ann@example.com,,,,,2026-01-01 10:00:00 -0500,\n"
        "#2,bob@example.com,paid,5.00,,USD,2026-02-01 11:00:00 -0500,102\n"
    )
    to = tmp_path / "mine.yaml"
    done = program(untrained_world, "init", str(tmp_path / "export"), "--like", "shopify", "--to", str(to), "--yes")
    assert done.code == 0, done.err
    assert "2 events imported" in done.out
    assert "path: data/events" in to.read_text()
    assert "value: revenue" in to.read_text()


def test_a_name_that_cannot_be_used_is_refused_before_anything_is_read(
    program: Program, untrained_world: World, tmp_path: Path
) -> None:
    done = program(untrained_world, "init", "nowhere.csv", "--name", "My_Shop", "--to", str(tmp_path / "x.yaml"))
    assert done.code == 2
    assert "cannot be used" in done.err


class Keyboard(io.StringIO):
    """A terminal at which somebody answers."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def doubtful(tmp_path: Path) -> Path:
    """A log with two columns that may be the user, and two that may be the event's id."""
    log = tmp_path / "log.parquet"
    frame = shop(users=60).with_columns(client_id=pl.col("customer_id") + "x", message_id=pl.col("event_id"))
    frame.rename({"customer_id": "member_id"}).write_parquet(log)
    return log


def columns_in(definition: Path) -> dict[str, str]:
    columns = yaml.safe_load(definition.read_text())["events"]["columns"]
    assert isinstance(columns, dict)
    return columns


def test_what_is_not_sure_is_asked_with_the_guess_and_the_other_candidates(
    program: Program, untrained_world: World, doubtful: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", Keyboard("nobody\nclient_id\n\ny\n"))
    to = tmp_path / "mine.yaml"
    done = program(untrained_world, "init", str(doubtful), "--to", str(to))
    assert done.code == 0, done.err
    assert "Which column says who did it? member_id" in done.out
    assert "candidates: client_id" in done.out
    assert "Which column says which event it is? event_id" in done.out
    assert "when it happened" not in done.out, "the time is sure"
    assert columns_in(to) == {"user": "client_id", "event": "event_name", "time": "occurred_at", "id": "event_id"}


def test_one_may_answer_that_there_is_none_and_change_ones_mind(
    program: Program, untrained_world: World, doubtful: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    to = tmp_path / "mine.yaml"
    monkeypatch.setattr(sys, "stdin", Keyboard("\nnone\nn\n"))
    assert program(untrained_world, "init", str(doubtful), "--to", str(to)).code == 1
    assert not to.exists()
    monkeypatch.setattr(sys, "stdin", Keyboard("\nnone\ny\n"))
    assert program(untrained_world, "init", str(doubtful), "--to", str(to)).code == 0
    assert columns_in(to) == {"user": "member_id", "event": "event_name", "time": "occurred_at"}


def test_without_a_terminal_nothing_is_asked_and_what_is_not_sure_is_named(
    program: Program, untrained_world: World, doubtful: Path, tmp_path: Path
) -> None:
    to = tmp_path / "mine.yaml"
    done = program(untrained_world, "init", str(doubtful), "--to", str(to))
    assert done.code == 2
    assert "there is no terminal to ask in; nothing is written" in done.err
    assert "--user member_id (or client_id); --id event_id (or message_id)" in done.err
    assert not to.exists()
    named = ("--user", "client_id", "--id", "message_id")
    assert program(untrained_world, "init", str(doubtful), "--to", str(to), *named).code == 0
    assert columns_in(to)["user"] == "client_id"
    to.unlink()
    assert program(untrained_world, "init", str(doubtful), "--to", str(to), "--yes").code == 0
    assert columns_in(to)["user"] == "member_id"


def test_a_column_that_nobody_guessed_can_be_named_in_the_terminal(
    program: Program, untrained_world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop(users=60).rename({"customer_id": "wer", "event_name": "was"}).write_parquet(tmp_path / "log.parquet")
    monkeypatch.setattr(sys, "stdin", Keyboard("wer\nwas\ny\n"))
    to = tmp_path / "mine.yaml"
    done = program(untrained_world, "init", str(tmp_path / "log.parquet"), "--to", str(to))
    assert done.code == 0, done.err
    assert columns_in(to) == {"user": "wer", "event": "was", "time": "occurred_at", "id": "event_id"}


@pytest.mark.parametrize("others", [[], ["customers", "stock"]])
def test_the_table_of_a_duckdb_file_is_taken_where_it_is_the_only_one_and_else_asked_for(
    program: Program,
    untrained_world: World,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    others: list[str],
) -> None:
    frame = shop(users=60)
    with duckdb.connect(str(tmp_path / "log.duckdb")) as connection:
        connection.register("frame", frame.to_arrow())
        connection.execute("CREATE TABLE web_events AS SELECT * FROM frame")
        for other in others:
            connection.execute(f"CREATE TABLE {other} (id INTEGER)")
    to = tmp_path / "mine.yaml"
    done = program(untrained_world, "init", str(tmp_path / "log.duckdb"), "--to", str(to))
    if others:
        assert done.code == 2
        assert "log.duckdb has 3 tables: customers, stock, web_events." in done.err
        assert "--table customers" in done.err
        monkeypatch.setattr(sys, "stdin", Keyboard("\ny\n"))
        done = program(untrained_world, "init", str(tmp_path / "log.duckdb"), "--to", str(to))
    assert done.code == 0, done.err
    assert yaml.safe_load(to.read_text())["events"]["table"] == "web_events"


def test_check_names_the_tables_of_a_duckdb_file_too(program: Program, untrained_world: World, tmp_path: Path) -> None:
    with duckdb.connect(str(tmp_path / "log.duckdb")) as connection:
        connection.execute("CREATE TABLE web_events (user_id INTEGER)")
    shop(users=60).write_parquet(tmp_path / "log.parquet")
    to = tmp_path / "mine.yaml"
    program(untrained_world, "init", str(tmp_path / "log.parquet"), "--to", str(to), "--yes")
    to.write_text(to.read_text().replace("log.parquet", "log.duckdb"))
    done = program(untrained_world, "check", "-d", str(to), PROPENSITY_HOME=str(tmp_path / "var"))
    assert done.code == 2
    assert "name one file, and the table in 'events.table': web_events" in done.err


def test_traits_beside_the_log_are_asked_about_and_named_ones_are_taken(
    program: Program, untrained_world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "log").mkdir()
    shop(users=60).write_parquet(tmp_path / "log/events.parquet")
    users = {"customer_id": [f"c{n}" for n in range(60)], "known_at": "2025-01-01", "plan": ["free", "pro"] * 30}
    pl.DataFrame(users).write_csv(tmp_path / "log/users.csv")
    pl.DataFrame(users).rename({"plan": "size"}).write_csv(tmp_path / "log/more.csv")
    to = tmp_path / "mine.yaml"
    log = str(tmp_path / "log/events.parquet")
    monkeypatch.setattr(sys, "stdin", Keyboard("n\ny\n"))
    done = program(untrained_world, "init", log, "--to", str(to))
    assert done.code == 0, done.err
    assert "users.csv lies beside the log: 100% of its 60 users are in the log." in done.out.replace("\n", "")
    assert "traits" not in yaml.safe_load(to.read_text())
    to.unlink()
    done = program(untrained_world, "init", log, "--to", str(to), "--yes", "--traits", str(tmp_path / "log/more.csv"))
    assert done.code == 0, done.err
    assert yaml.safe_load(to.read_text())["traits"]["fields"] == ["size"]
    to.unlink()
    done = program(untrained_world, "init", log, "--to", str(to), "--yes")
    assert "plan" in done.out
    checked = program(untrained_world, "check", "-d", str(to), PROPENSITY_HOME=str(tmp_path / "var"))
    assert checked.code in (0, 1), checked.err
