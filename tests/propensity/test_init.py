"""The command that proposes a definition."""

from pathlib import Path

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
