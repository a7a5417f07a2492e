"""The notebooks run from top to bottom on a trained world, and are stored without outputs."""

from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.conftest import ROOT, World
from tests.serving.servers import Server

pytestmark = pytest.mark.long

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.fixture(scope="module")
def server(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = Server(world, tmp_path_factory.mktemp("serve") / "log", PROPENSITY_AUTH="off")
    try:
        yield running.ready()
    finally:
        running.stop()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_a_notebook_runs(
    world: World, path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    for key, value in world.environment.items():
        monkeypatch.setenv(key, value)
    monkeypatch.setenv("PYTHONWARNINGS", "ignore")
    monkeypatch.delenv(
        "MLFLOW_REGISTRY_URI", raising=False
    )  # MLflow sets it for children of a program that has a registry
    if "propensity.client" in path.read_text():
        monkeypatch.setenv("PROPENSITY_URL", str(request.getfixturevalue("server").client.base_url))
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(ROOT / "notebooks")}}).execute()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_a_notebook_is_stored_without_outputs(path: object) -> None:
    cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    assert len(NOTEBOOKS) >= 3
    assert cells
    assert not any(cell.outputs or cell.execution_count for cell in cells)
