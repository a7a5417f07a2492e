"""What is kept is its owner's alone, whichever command or library made it."""

import os
import stat
import sys
from pathlib import Path

import pytest

from features.system.files.private import make_all_private, make_private
from tests.conftest import World
from tests.permissions import open_to_others
from tests.serving.conftest import copy_of


@pytest.mark.long
def test_commands_make_files_for_their_owner_alone(untrained_world: World, tmp_path: Path) -> None:
    world = copy_of(untrained_world, tmp_path / "world")
    before = os.umask(0o022)
    try:
        exported = tmp_path / "cart.csv"
        for words in (
            ["materialize"], ["keys", "create", "web", "--role", "write"], ["score", "--without-models"],
            ["audience", "states.churned", "--to", str(exported)], ["compact"],
        ):  # fmt: skip
            done = world.run(sys.executable, "-m", "propensity", *words)
            assert done.returncode == 0, done.stdout + done.stderr
    finally:
        os.umask(before)
    assert len(list(world.settings.home.rglob("*"))) > 20
    assert open_to_others(world.settings.home) == []
    assert stat.S_IMODE(exported.stat().st_mode) == 0o600, "an export names users, wherever it lies"


def test_what_others_wrote_is_made_private(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True, mode=0o755)
    (tmp_path / "a" / "b" / "part.parquet").touch(0o644)
    (tmp_path / "elsewhere").touch(0o644)
    (tmp_path / "a" / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").chmod(0o644)
    make_all_private(tmp_path / "a")
    assert {oct(p.lstat().st_mode & 0o777) for p in (tmp_path / "a").rglob("*") if not p.is_symlink()} <= {
        "0o700", "0o600",
    }  # fmt: skip
    assert (tmp_path / "elsewhere").stat().st_mode & 0o777 == 0o644, "links are not followed"
    make_private(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()
