"""How long one waits for a command to say something, and for the service to answer."""

import subprocess
import sys
import time
from statistics import median

import httpx
import polars as pl

from benchmarks.answers import server_environment
from benchmarks.world import ROOT, World, environment

RUNS = 3

#: commands that end, by the name of their number
COMMANDS = {"help": ("--help",), "check": ("check",), "score": ("score",)}


def cost(world: World, port: int = 3210) -> tuple[pl.DataFrame, dict[str, float]]:
    """Time commands from their call to their end, and the service until it is ready, each once before.

    Args:
        world: trained.
        port: for the service.

    Returns:
        A table, and ``start.help_s``, ``start.check_s``, ``start.score_s`` and ``start.ready_s``: medians, in seconds.
    """
    taken = {f"propensity {' '.join(words)}": (f"start.{name}_s", _ended, words) for name, words in COMMANDS.items()}
    taken["propensity serve, until it is ready"] = ("start.ready_s", _ready, ("serve", "--port", str(port)))
    rows, numbers = [], {}
    for shown, (number, way, words) in taken.items():
        way(world, words)
        seconds = [way(world, words) for _ in range(RUNS)]
        numbers[number] = median(seconds)
        rows.append({"command": shown, "seconds": median(seconds), "least": min(seconds), "most": max(seconds)})
    return pl.DataFrame(rows), numbers


def _ended(world: World, words: tuple[str, ...]) -> float:
    began = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "propensity", *words], cwd=ROOT, env=environment(world.settings), check=True,
        capture_output=True,
    )  # fmt: skip
    return time.perf_counter() - began


def _ready(world: World, words: tuple[str, ...]) -> float:
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "propensity", *words], cwd=ROOT, env=server_environment(world),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{words[-1]}", timeout=60) as client:
            while process.poll() is None:
                try:
                    if client.get("/readyz").status_code == 200:
                        return time.perf_counter() - began
                except httpx.TransportError:
                    pass
                time.sleep(0.02)
        raise RuntimeError(f"propensity {' '.join(words)} ended with {process.returncode}")
    finally:
        process.terminate()
        process.wait(30)
