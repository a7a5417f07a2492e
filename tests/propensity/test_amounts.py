"""Amounts that are written for people are read as what they are worth, or not at all."""

from collections.abc import Callable
from pathlib import Path

import duckdb
import polars as pl
import pytest
import yaml

from tests.conftest import World
from tests.features.proposal.shop import shop
from tests.propensity.programs import Program


def english(value: float) -> str:
    return f"{value:,.2f}"


def german(value: float) -> str:
    return english(value).translate(str.maketrans(",.", ".,"))


def proposed(program: Program, world: World, folder: Path, write: Callable[[float], str], ending: str) -> str | None:
    """The value that is proposed for purchases; the log it is proposed for passes `check`."""
    log = shop(users=300)
    worth = [None if value is None else write(40 * value) for value in log["total_price"]]
    log = log.with_columns(pl.Series("total_price", worth, dtype=pl.String))
    (log.write_csv if ending == "csv" else log.write_parquet)(folder / f"log.{ending}")
    to = folder / "mine.yaml"
    done = program(world, "init", str(folder / f"log.{ending}"), "--to", str(to), "--yes")
    assert done.code == 0, done.err
    home = {"PROPENSITY_HOME": str(folder / "var")}
    checked = program(world, "check", "-d", str(to), **home)
    assert checked.code == 0, checked.out + checked.err
    assert "cannot be read" not in checked.err
    value = yaml.safe_load(to.read_text())["signals"]["purchase"].get("value")
    assert value is None or isinstance(value, str)
    return value


@pytest.mark.parametrize("ending", ["csv", "parquet"])
@pytest.mark.parametrize(
    ("write", "value"),
    [
        (english, "TRY_CAST(REPLACE(total_price, ',', '') AS DOUBLE)"),
        (german, "TRY_CAST(REPLACE(REPLACE(total_price, '.', ''), ',', '.') AS DOUBLE)"),
        (lambda x: f"${english(x)}", "TRY_CAST(REPLACE(REPLACE(total_price, ',', ''), '$', '') AS DOUBLE)"),
        (
            lambda x: f"{german(x)} €",
            "TRY_CAST(REPLACE(REPLACE(REPLACE(total_price, '.', ''), ',', '.'), '€', '') AS DOUBLE)",
        ),
    ],
)
def test_an_amount_is_read_as_it_is_written(
    program: Program, untrained_world: World, tmp_path: Path, write: Callable[[float], str], value: str, ending: str
) -> None:
    assert proposed(program, untrained_world, tmp_path, write, ending) == value
    file = str(tmp_path / f"log.{ending}")
    rows = f"read_csv('{file}', all_varchar=true)" if ending == "csv" else f"'{file}'"
    [(read,)] = duckdb.sql(f"SELECT sum({value}) FROM {rows}").fetchall()
    assert read == pytest.approx(sum(round(40 * value, 2) for value in shop(users=300)["total_price"].drop_nulls()))


@pytest.mark.parametrize(
    "write",
    [
        pytest.param(lambda x: f"{int(x) // 1000 + 1},{int(x) % 1000:03d}", id="a comma that may be either"),
        pytest.param(lambda x: f"{'$' if x > 1_000 else '€'}{english(x)}", id="two currencies"),
        pytest.param(lambda x: english(x) if x > 1_000 else german(x), id="both ways"),
    ],
)
def test_nothing_is_guessed_where_a_number_may_be_another(
    program: Program, untrained_world: World, tmp_path: Path, write: Callable[[float], str]
) -> None:
    assert proposed(program, untrained_world, tmp_path, write, "csv") is None


def test_a_value_that_is_text_is_refused_with_both_ways_to_read_it(
    program: Program, untrained_world: World, tmp_path: Path
) -> None:
    proposed(program, untrained_world, tmp_path, english, "csv")
    to = tmp_path / "mine.yaml"
    content = yaml.safe_load(to.read_text())
    content["signals"]["purchase"]["value"] = "total_price"
    to.write_text(yaml.safe_dump(content))
    done = program(untrained_world, "check", "-d", str(to), PROPENSITY_HOME=str(tmp_path / "other"))
    assert done.code == 2
    assert "where 1,234.50 is written, TRY_CAST(REPLACE(total_price, ',', '') AS DOUBLE)" in done.err
