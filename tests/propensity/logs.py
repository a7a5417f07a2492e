"""Small logs with something wrong, and `propensity check` of them."""

import os
import subprocess
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl
import yaml

from features.definition import load_definition
from features.event_store.store import EventStore
from features.open_log import open_log
from features.reading.look import LocalLook
from features.settings import Settings
from features.system.progress import unseen
from propensity.preview.page import Preview, preview
from tests.conftest import ROOT
from tests.forks import run_module

CASES = ROOT / "tests" / "cases"


def checked(file: Path, home: Path) -> tuple[EventStore, Preview]:
    store = open_log(load_definition(file), Settings(home=home), ends=None, steps=unseen)
    assert isinstance(store, EventStore)
    return store, preview(store, LocalLook(store.log), unseen)


def case_with(folder: Path, rows: pl.DataFrame, **events: object) -> Path:
    """Case 19's definition over other rows."""
    content = yaml.safe_load((CASES / "19-event-name-in-other-case" / "propensity.yaml").read_text())
    content["events"] |= events
    rows.write_csv(folder / "events.csv")
    (folder / "propensity.yaml").write_text(yaml.safe_dump(content))
    return folder / "propensity.yaml"


def rows_of(times: list[str], **columns: object) -> pl.DataFrame:
    users = [f"u{i % 20}" for i in range(len(times))]
    return pl.DataFrame({"user_id": users, "event": "view", "time": times, "amount": None} | columns)


def daily(days: int, suffix: str = "") -> list[str]:
    start = datetime(2025, 11, 20)
    return [f"{start + timedelta(hours=6 * i):%Y-%m-%d %H:%M:%S}{suffix}" for i in range(4 * days)]


def run(*command: str, home: Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PROPENSITY_HOME": str(home), "COLUMNS": "120"}
    return run_module("propensity", ["check", *command], environment, ROOT)
