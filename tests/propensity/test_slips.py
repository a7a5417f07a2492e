"""Slips of people at a terminal: a wrong id, a wrong importer, a name that is not there; and what they read instead."""

import json
from pathlib import Path

import pytest

from tests.conftest import World
from tests.propensity.programs import Ended, Program
from tests.serving.conftest import copy_of


@pytest.fixture
def mine(untrained_world: World, tmp_path: Path) -> World:
    return copy_of(untrained_world, tmp_path / "w")


def message(done: Ended, code: int) -> str:
    assert done.code == code, done.out + done.err
    return " ".join(done.err.split())


def test_an_unknown_id_is_not_erased_in_silence(mine: World, program: Program) -> None:
    assert program(mine, "materialize").code == 0
    words = message(program(mine, "erase", "nobody-here"), 0)
    assert "nothing was known of nobody-here: look whether the ids are right" in words
    assert "nothing was known" not in message(program(mine, "erase", "u0000003"), 0)


def test_an_export_of_another_tool_is_refused_where_no_row_is_an_event(
    mine: World, program: Program, tmp_path: Path
) -> None:
    row = {"event": "visit", "properties": {"time": 1_767_261_600, "distinct_id": "u1"}}
    (tmp_path / "export.json").write_text(json.dumps(row) + "\n")
    command = ("import", "ga4", str(tmp_path / "export.json"), "--to", str(tmp_path / "log"))
    words = message(program(mine, *command), 2)
    assert "no row is an event: 1 no user" in words
    assert "is it an export of" in words


@pytest.mark.parametrize("name", ["empty.csv", "empty.parquet"])
def test_a_file_without_a_byte_is_named(mine: World, program: Program, tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    command = ("init", str(tmp_path / name), "--to", str(tmp_path / "mine.yaml"), "--yes")
    words = message(program(mine, *command), 2)
    assert "has no byte" in words
    assert "remove it, or write it again" in words
    assert "Error" not in words


def test_a_file_without_a_byte_is_not_blamed_for_another(mine: World, program: Program, tmp_path: Path) -> None:
    folder = tmp_path / "log"
    folder.mkdir()
    (folder / "a.csv").touch()
    (folder / "b.csv").write_bytes("user,event,time\nJörg,visit,2026-01-01\n".encode("latin-1"))
    command = ("init", str(folder / "*.csv"), "--to", str(tmp_path / "mine.yaml"), "--yes")
    words = message(program(mine, *command), 2)
    assert "has no byte" not in words
    assert "encoding" in words


@pytest.mark.parametrize("command", [("handoff", "pause", "crm"), ("uplift", "winback")])
def test_where_a_definition_has_none_it_is_said_where_to_add_one(
    mine: World, program: Program, command: tuple[str, ...]
) -> None:
    content = mine.folder / "propensity.yaml"
    text = content.read_text()
    content.write_text(text[: text.index("\ndestinations:")] + "\n" if "\ndestinations:" in text else text)
    assert "the definition has none: add it to" in message(program(mine, *command), 2)


def test_a_home_that_is_in_the_way_of_a_backup_is_named_with_its_setting(
    mine: World, program: Program, tmp_path: Path
) -> None:
    assert program(mine, "score").code == 0
    assert program(mine, "backup", str(tmp_path / "copy")).code == 0
    words = message(program(mine, "restore", str(tmp_path / "copy")), 2)
    assert "fix set PROPENSITY_HOME to a folder that is not there, or is empty" in words


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_exports_write_instants_as_the_api_does(mine: World, program: Program, tmp_path: Path, form: str) -> None:
    assert program(mine, "score").code == 0
    to = tmp_path / f"out.{form}"
    assert program(mine, "audience", "states.churned", "--format", form, "--to", str(to)).code == 0
    text = to.read_text()
    assert "T00:00:00Z" in text
    assert "+00" not in text
