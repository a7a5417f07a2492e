"""The reference pages: nothing public is missing, nothing is stale, and what has no description fails."""

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel

from features.definition.schema import Definition
from features.settings import Settings
from propensity.reference import commands, definition, errors, fields, http, settings
from propensity.reference.__main__ import stale
from tests.conftest import ROOT

FOLDER = ROOT / "docs" / "reference"
ROOMS = [ROOT / name for name in ("features", "segments", "serving", "training", "monitoring", "propensity")]


def test_the_committed_pages_are_what_the_program_generates() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "propensity.reference", "--check"],
        cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_a_page_that_is_missing_changed_or_left_over_is_stale(tmp_path: Path) -> None:
    for name in ("same", "changed", "left_over"):
        (tmp_path / f"{name}.md").write_text(name)
    fresh = {"same.md": "same", "changed.md": "other", "missing.md": "missing"}
    assert stale(tmp_path, fresh) == ["changed.md", "left_over.md", "missing.md"]


def test_a_field_without_a_description_fails() -> None:
    class Bare(BaseModel):
        """A model.

        Attributes:
            reported: what it is.
        """

        reported: int
        bare: int = 1

    with pytest.raises(fields.UndescribedError, match=r"Bare\.bare is not described"):
        list(fields.fields(Bare))


def test_every_key_of_the_demos_definition_is_listed() -> None:
    keys = definition.keys()
    assert {"events.columns.user", "outcomes.<name>.tiers.most", "leads.<name>.points[].half_life"} <= keys
    assert {f.name for f in fields.fields(Definition)} <= keys
    page = (FOLDER / "definition.md").read_text()
    assert {key for key in keys if f"| `{key}` |" not in page} == set()


def test_every_setting_is_listed() -> None:
    page = (FOLDER / "settings.md").read_text()
    for name in Settings.model_fields:
        assert f"| `PROPENSITY_{name.upper()}` |" in page


def test_every_variable_that_is_read_elsewhere_is_listed() -> None:
    found = set()
    for file in _files():
        text = file.read_text()
        names = re.findall(r'environ(?:\.get|\.setdefault)?[(\[]\s*"(\w+)"', text)
        names += re.findall(r'"((?:PROPENSITY|BENTOML)_[A-Z_]+)"', text)
        found |= set(names)
    known = {settings.variable(name) for name in Settings.model_fields}
    assert found >= {"NUMBA_CACHE_DIR", "BENTOML_HOME"}
    assert found - known - settings.INTERNAL - {"PATH"} <= set(settings.OTHERS)


def test_every_path_that_no_document_describes_is_listed() -> None:
    assert set(http.PROBES) == http.probes()


def test_every_command_and_option_is_listed() -> None:
    page = (FOLDER / "commands.md").read_text()
    found = dict(commands.commands())
    assert len(found) > 25
    for name, command in found.items():
        assert f"\n## `{name}`\n" in page
        for param in command.params:
            assert all(f"`{option}`" in page for option in param.opts if option.startswith("-"))


def test_every_code_in_the_program_is_in_the_catalogue_and_no_other() -> None:
    found = {code for file in _files() for code in _codes(ast.parse(file.read_text()))}
    found |= {f"too_few_{kind}" for kind in ("positives", "negatives")}  # put together
    assert found >= {"registry", "model_damaged", "user_id", "live_log", "log_too_short", "poison", "no_model", "disk"}
    assert found - errors.codes() == set(), "not in the catalogue"
    assert errors.codes() - found - set(errors.SILENT) == set(), "in the catalogue only"
    texts = "".join(file.read_text() for file in _files() if file.parent.name != "reference")
    assert all(f'"{code}"' in texts for code in errors.SILENT)


def _files() -> Iterator[Path]:
    for room in ROOMS:
        yield from room.rglob("*.py")


#: calls that name a code, and its place among their arguments
_NAMED = {
    "RefusalError": 0, "_RefusedError": 0, "problem": 1, "DeadLetter": 1, "_end": 0,
}  # fmt: skip


def _codes(tree: ast.Module) -> Iterator[str]:
    """The codes that a module names: of classes, as an argument, and by status."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            for line in node.body:
                if isinstance(line, ast.Assign) and getattr(line.targets[0], "id", "") == "code":
                    yield from _texts(line.value)
        elif isinstance(node, ast.Call):
            yield from (text for k in node.keywords if k.arg == "code" for text in _texts(k.value))
            name = getattr(node.func, "id", "")
            if name in _NAMED and len(node.args) > _NAMED[name]:
                yield from _texts(node.args[_NAMED[name]])
        elif isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") in ("USUAL", "NOT_TAKEN", "ID_TAKEN"):
            if isinstance(node.value, ast.Dict):
                codes = (
                    v.elts[0] if isinstance(v, ast.Tuple) else k
                    for k, v in zip(node.value.keys, node.value.values, strict=True)
                )
                yield from (text for code in codes if code is not None for text in _texts(code))
            else:
                yield from _texts(node.value)


def _texts(node: ast.expr) -> Iterator[str]:
    """The texts an expression may be."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.IfExp):
        yield from (*_texts(node.body), *_texts(node.orelse))
