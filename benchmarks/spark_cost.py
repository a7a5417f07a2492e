"""What Spark costs by the size of a log: a line through three sizes, and how well it tells of a fourth.

Run as ``python -m benchmarks.spark_cost``; each size runs in a process of its own, so that its Java ends with it.
"""

import json
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter

import numpy as np
import psutil

from benchmarks.world import Log, log_of

#: events of the logs; the last one is predicted
SIZES = (1_000_000, 2_000_000, 4_000_000, 8_000_000)

SNAPSHOTS = 8
#: further commands of a run; the middle one counts
FURTHER = 3


def measured(events: int, folder: Path) -> dict[str, float]:
    """Processor seconds of driver, Java and executors, and seconds by the clock, of one run by itself."""
    command = [sys.executable, "-m", "benchmarks.spark_cost", str(events), str(folder)]
    answer = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(answer.stdout.splitlines()[-1])
    return found


def run(events: int, folder: Path) -> dict[str, float]:
    """A night's first command on a log, which takes it in, and further ones; each writes snapshots and draws rows."""
    log, seconds, processor = log_of(events, folder), [perf_counter()], [0.0]
    with log.fresh_home() as home, opened():
        for _ in range(1 + FURTHER):
            work(log, home)
            seconds.append(perf_counter())
            processor.append(processor_seconds())
    (first, *later), (first_cpu, *later_cpu) = np.diff(seconds).tolist(), np.diff(processor).tolist()
    return {
        "events": events, "first_seconds": first, "first_cpu": first_cpu,
        "next_seconds": median(later), "next_cpu": median(later_cpu),
        "driver_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
    }  # fmt: skip


def work(log: Log, home: Path) -> None:
    """Take in what is new, write snapshots with labels, count the labels and draw the rows to learn from."""
    from benchmarks.features import weekly
    from features.settings import Settings
    from features.snapshot import write_snapshots
    from features.spark.log import SparkLog
    from training.dataset.attach_labels import Labels
    from training.dataset.labelled_rows import LabelledRows
    from training.dataset.split import split

    spark = SparkLog.open(log.definition, Settings(home=home, engine="spark", spark="local[2]"))
    write_snapshots(spark, weekly(log, SNAPSHOTS), log.definition, home / "snapshots", more=Labels(log.definition))
    labelled = LabelledRows(home / "snapshots", "churn", log.definition.training, spark.gather)
    instants = labelled.by_cutoff()["cutoff"].unique().sort().dt.epoch("us").to_numpy()
    parts = split(instants, log.definition.outcomes["churn"].reach)
    labelled.drawn(parts, dict(labelled.by_slice(parts).select("slice", "spread").iter_rows()))


@contextmanager
def opened() -> Iterator[None]:
    """A Spark of this machine, which commands find."""
    from pyspark.sql import SparkSession

    from features.spark.session import STARTED

    session = (
        SparkSession.builder.master("local[2]").config("spark.ui.enabled", False).config("spark.driver.memory", "3g")
        .config("spark.ui.showConsoleProgress", False).config("spark.log.level", "ERROR")
        .config(map=STARTED).getOrCreate()
    )  # fmt: skip
    yield
    session.stop()


def processor_seconds() -> float:
    """Processor seconds of this program, of Java and of the executors' Pythons, also of those that have ended."""
    mine = psutil.Process()
    return sum(sum(one.cpu_times()[:4]) for one in (mine, *mine.children(recursive=True)))


def main(folder: Path) -> None:
    """Measure all sizes, fit the line to all but the last, and compare it with the last."""
    found = [measured(events, folder) for events in SIZES]
    for one in found:
        print(one)
    for what in ("first_cpu", "first_seconds", "next_cpu", "next_seconds"):
        events, cost = (np.array([one[key] for one in found]) for key in ("events", what))
        # relative errors count alike at every size
        design = np.column_stack([np.ones(len(events) - 1), events[:-1]]) / cost[:-1, None]
        start, each = np.linalg.lstsq(design, np.ones(len(events) - 1), rcond=None)[0]
        predicted = start + each * events[-1]
        print(f"{what}: {start:.1f} + {each * 1e6:.2f} per million events; {predicted:.1f} predicted of "
              f"{int(events[-1]):,}, {cost[-1]:.1f} measured ({predicted / cost[-1] - 1:+.0%})")  # fmt: skip


if __name__ == "__main__":
    os.environ["PYSPARK_PYTHON"] = sys.executable
    if len(sys.argv) > 2:
        print(json.dumps(run(int(sys.argv[1]), Path(sys.argv[2]))))
    else:
        with TemporaryDirectory() as name:
            main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(name))
