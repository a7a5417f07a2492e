"""Compiled code is kept by all that it is made of: an old fold is never run after a change."""

import ast
import json
import sys
from pathlib import Path

import numba as nb
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.system.compiled import KERNEL, code_folder, for_reading, made_of
from tests.conftest import ROOT, World


def test_every_file_that_the_kernel_imports_is_among_what_it_is_made_of() -> None:
    files = {file.relative_to(ROOT).as_posix() for file in made_of()}
    assert {file.relative_to(ROOT).as_posix() for file in KERNEL.glob("*.py")} < files
    imported = set()
    for file in KERNEL.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("features."):
                imported.add((node.module or "").replace(".", "/") + ".py")
    assert imported <= files


def test_a_folder_that_is_chosen_keeps_each_version_of_the_kernel_apart(tmp_path: Path) -> None:
    """Numba would run an old fold from it."""
    usual, chosen = Path(code_folder(None)), Path(code_folder(str(tmp_path)))
    assert chosen.parent == tmp_path
    assert chosen.name == usual.name
    assert Path(nb.config.CACHE_DIR).name == usual.name


#: runs commands in one process, and writes which functions of ours were compiled, and for how many types of arguments
COMPILED = """
import gc, json, sys
from numba.core.dispatcher import Dispatcher
from propensity.app import app

train = ["train", "--outcome", "churn", "--outcome", "spend", "--force", "to be tested"]
for command in (train, ["score", "--reasons", "3"]):
    app(command, standalone_mode=False)
ours = {f"{one.py_func.__module__}.{one.py_func.__name__}": len(one.signatures)
        for one in gc.get_objects() if isinstance(one, Dispatcher) and not one.py_func.__module__.startswith("numba")}
print(json.dumps(ours))
"""


@pytest.mark.long
def test_a_function_is_compiled_for_one_type_of_arrays(untrained_world: World, tmp_path: Path) -> None:
    """Each further one costs up to a quarter of a minute where nothing is compiled yet."""
    done = World.copied(untrained_world.folder, tmp_path / "world").start(
        sys.executable, "-W", "ignore", "-c", COMPILED
    )
    assert done.returncode == 0, done.stderr
    times = json.loads(done.stdout.splitlines()[-1])
    assert times["features.profile.kernel.users.fold_users"] == 1
    assert {name: count for name, count in times.items() if count > 1} == {}


@given(data=st.data())
def test_any_arrays_are_read_alike(data: st.DataObject) -> None:
    whole = np.array(data.draw(st.lists(st.integers(-3, 3), min_size=1, max_size=20)), dtype=np.int64)
    arrays = {"as they are": whole, "read-only": whole.copy(), "strided": np.repeat(whole, 2)[::2]}
    arrays["read-only"].flags.writeable = False
    views = [for_reading(array) for array in arrays.values()]
    assert {view.flags.writeable for view in views} == {False}
    assert whole.flags.writeable
    assert {(view.flags.c_contiguous, tuple(view)) for view in views} == {(True, tuple(whole))}
