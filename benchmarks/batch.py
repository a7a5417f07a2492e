"""A batch of very many users, and what three reasons for each answer add to it."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter

import polars as pl

from benchmarks.world import ROOT, Log, World, environment
from features.settings import Settings

#: runs of each kind, by turns
RUNS = 3

KINDS: dict[str, list[str]] = {"without reasons": [], "three reasons each": ["--reasons", "3"]}


def cost(world: World, log: Log) -> tuple[pl.DataFrame, dict[str, float]]:
    """Score everybody of a log by a trained world's models, from the kept store, with and without reasons.

    The log has the world's definition. A first run, which takes the log in and learns where everybody is, is not
    counted; nobody has moved in those that are.
    """
    with TemporaryDirectory(dir=log.folder) as name:
        home = Path(name) / "var"
        shutil.copytree(world.settings.home, home)
        settings = Settings(definition=log.folder / "propensity.yaml", home=home)
        for file in settings.folder(log.definition.name).glob("live.db*"):
            file.unlink()  # of the world's users: those of the log would all have come at once
        _scored(settings, [])
        taken: dict[str, list[dict[str, float]]] = {kind: [] for kind in KINDS}
        for _ in range(RUNS):
            for kind, options in KINDS.items():
                taken[kind].append(_scored(settings, options))
    rows = [
        {"events": log.events, "batch": kind} | {of: median(run[of] for run in runs) for of in runs[0]}
        for kind, runs in taken.items()
    ]
    plain, explained = rows
    return pl.DataFrame(rows), {
        "batch.reasons_over_none": float(explained["seconds"]) / float(plain["seconds"]),
        "batch.reasons_over_none_processor": float(explained["processor_s"]) / float(plain["processor_s"]),
        "batch.users_per_s": float(plain["users"]) / float(plain["seconds"]),
    }


def _scored(settings: Settings, options: list[str]) -> dict[str, float]:
    """How many users a command scores, and what it takes."""
    began = perf_counter()
    command = [sys.executable, "-m", "propensity", "score", "--json", *options]
    with subprocess.Popen(command, cwd=ROOT, env=environment(settings), stdout=subprocess.PIPE) as process:
        answer = process.stdout.read() if process.stdout is not None else b""
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if status:
        raise subprocess.CalledProcessError(process.returncode, command)
    return {
        "users": json.loads(answer)["users"], "seconds": perf_counter() - began,
        "processor_s": usage.ru_utime + usage.ru_stime, "peak_gib": usage.ru_maxrss / 2**20,
    }  # fmt: skip
