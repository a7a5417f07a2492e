"""The command that makes a log of an export."""

import json
from pathlib import Path

import polars as pl

from tests.conftest import World
from tests.propensity.programs import Program


def test_an_export_is_imported_and_the_definition_is_reported(
    program: Program, untrained_world: World, tmp_path: Path
) -> None:
    message = {"type": "track", "event": "Bought", "userId": "u1", "messageId": "m1",
               "timestamp": "2026-01-01T10:00:00Z", "properties": {"net": 3.5, "gift": True}}  # fmt: skip
    nobody = {"type": "track", "event": "Bought", "messageId": "m2", "timestamp": "2026-01-01T10:00:00Z"}
    (tmp_path / "export.json").write_text(json.dumps(message) + "\n" + json.dumps(nobody) + "\n")
    command = ("import", "segment", str(tmp_path / "export.json"), "--to", str(tmp_path / "log"),
               "--column", "net=properties.net:number", "--column", "gift=properties.gift:truth")  # fmt: skip
    done = program(untrained_world, *command)
    assert done.code == 0
    assert "export.json: 1 events, 1 left out: no user" in done.out
    assert "columns: {user: user, event: event, time: time, arrived: arrived, id: id}" in done.out
    [file] = (tmp_path / "log").glob("*.parquet")
    [row] = pl.read_parquet(file).to_dicts()
    assert (row["user"], row["net"], row["gift"]) == ("u1", 3.5, True)
    done = program(untrained_world, *command)
    assert done.code == 0
    assert "0 events imported" in done.out
    assert "1 files passed over" in done.out


def test_the_importers_are_listed(program: Program, untrained_world: World) -> None:
    done = program(untrained_world, "import", "--list")
    assert done.code == 0
    assert "ga4" in done.out
    assert "Shopify orders" in done.out


def test_what_is_missing_is_named(program: Program, untrained_world: World, tmp_path: Path) -> None:
    for words, message in (
        (("import",), "an importer and the files of the export are needed"),
        (("import", "segment", str(tmp_path / "none")), "no file at"),
        (("import", "segment", str(tmp_path), "--column", "x=("), "cannot be understood"),
        (("import", "segment", str(tmp_path), "--zone", "Berlin"), "not a time zone"),
    ):
        done = program(untrained_world, *words)
        assert done.code == 2
        assert message in done.err
