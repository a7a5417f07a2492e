"""Events after the declared end of a log: commands that read it say that they are left out, and what to change."""

from pathlib import Path

import pytest

from tests.conftest import World
from tests.propensity.logs import case_with, daily, rows_of
from tests.propensity.programs import Program

ENDS = "2026-02-08T00:00:00Z"


@pytest.fixture
def grown(tmp_path: Path) -> World:
    """A log of 81 days whose definition still declares its end before the last one."""
    case_with(tmp_path, rows_of(daily(81)), ends=ENDS)
    return World.at(tmp_path)


def message(program: Program, world: World, *command: str) -> str:
    done = program(world, *command)
    assert done.code == 0, done.err
    return " ".join(done.err.split())


def test_a_day_that_is_added_after_the_declared_end_is_not_passed_over_in_silence(
    grown: World, program: Program
) -> None:
    for command in ("materialize", "score", "kpis"):
        words = message(program, grown, command)
        assert "4 events are left out: events.ends says that the log is complete through 2026-02-08 00:00 UTC" in words
        assert "the newest is of 2026-02-08 18:00 UTC. Change it when the log is complete through a later" in words


def test_an_end_that_a_command_names_leaves_out_what_it_says(grown: World, program: Program) -> None:
    assert "are left out" not in message(program, grown, "score", "--ends", "2026-02-01")


def test_a_log_that_is_used_whole_has_nothing_left_out(grown: World, program: Program) -> None:
    case_with(grown.folder, rows_of(daily(80)), ends=ENDS)
    assert "are left out" not in message(program, World.at(grown.folder), "materialize")
