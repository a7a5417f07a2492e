"""The package: its licence, its types, its version and the completion of its commands."""

import os
import subprocess
import sys
import tomllib

from tests.conftest import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGES = [name.removesuffix("*") for name in PROJECT["tool"]["setuptools"]["packages"]["find"]["include"]]


def test_every_package_exports_its_types() -> None:
    assert "propensity" in PACKAGES
    for name in PACKAGES:
        assert (ROOT / name / "py.typed").exists()
        assert "py.typed" in PROJECT["tool"]["setuptools"]["package-data"][name]


def test_the_licence_is_the_one_that_the_package_names() -> None:
    assert PROJECT["project"]["license"] == "Apache-2.0"
    text = (ROOT / "LICENSE").read_text()
    assert "Apache License" in text
    assert "END OF TERMS AND CONDITIONS" in text
    assert all((ROOT / file).exists() for file in PROJECT["project"]["license-files"])


def completed(words: str) -> set[str]:
    """What a shell offers after some words."""
    program = "import sys; sys.argv[0] = 'propensity'; from propensity.__main__ import program; program()"
    asked = {"_PROPENSITY_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(len(words.split(" ")) - 1)}
    done = subprocess.run(
        [sys.executable, "-c", program], env=os.environ | asked, cwd=ROOT, capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


def test_a_shell_completes_commands_and_options() -> None:
    assert completed("propensity han") == {"handoff"}
    assert {"--as-of", "--reasons"} <= completed("propensity score --")
