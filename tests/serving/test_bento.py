"""A Bento of the service is built, and runs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT, World
from tests.serving.servers import Server

pytestmark = [pytest.mark.xdist_group("failures"), pytest.mark.long]


def test_a_bento_is_built_and_runs(world: World, tmp_path: Path) -> None:
    environment = os.environ | {"BENTOML_HOME": str(tmp_path / "bentoml"), "BENTOML_DO_NOT_TRACK": "1"}
    done = subprocess.run([sys.executable, "-m", "bentoml", "build"], cwd=ROOT, env=environment, capture_output=True,
                          text=True, timeout=300, check=False)  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    [bento] = (tmp_path / "bentoml" / "bentos" / "propensity").glob("*/bento.yaml")
    packed = {
        str(path.relative_to(bento.parent / "src")) for path in (bento.parent / "src").rglob("*") if path.is_file()
    }
    assert {"serving/service.py", "features/repo/feature_store.yaml"} <= packed
    assert not [name for name in packed if name.startswith(("tests", "var", "data", "training", ".venv"))]
    running = Server(
        world, tmp_path / "log", "propensity:latest", PROPENSITY_AUTH="off", BENTOML_HOME=environment["BENTOML_HOME"]
    )
    try:
        running.ready()
        answer = running.client.post("/score", json={"user_ids": ["u0000001"], "as_of": "2026-03-01T10:15:00Z"})
        assert answer.json()["records"][0]["user_id"] == "u0000001"
    finally:
        running.stop()
