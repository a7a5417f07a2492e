"""Compiled code is kept by all that it is made of: an old fold is never run after a change."""

import ast

from features.system.compiled import KERNEL, made_of
from tests.conftest import ROOT


def test_every_file_that_the_kernel_imports_is_among_what_it_is_made_of() -> None:
    files = {file.relative_to(ROOT).as_posix() for file in made_of()}
    assert {file.relative_to(ROOT).as_posix() for file in KERNEL.glob("*.py")} < files
    imported = set()
    for file in KERNEL.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("features."):
                imported.add((node.module or "").replace(".", "/") + ".py")
    assert imported <= files
