"""The notebooks run from top to bottom on a trained world, and are stored without outputs."""

import nbformat
import pytest
from nbclient import NotebookClient

from tests.conftest import ROOT, World

pytestmark = pytest.mark.long

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_a_notebook_runs(world: World, path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    for key, value in world.environment.items():
        monkeypatch.setenv(key, value)
    monkeypatch.setenv("PYTHONWARNINGS", "ignore")
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(ROOT / "notebooks")}}).execute()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_a_notebook_is_stored_without_outputs(path: object) -> None:
    cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    assert len(NOTEBOOKS) >= 3
    assert cells
    assert not any(cell.outputs or cell.execution_count for cell in cells)
