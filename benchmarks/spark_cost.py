"""What Spark costs by the size of a log: a line through three sizes, and how well it tells of a fourth.

Run as ``python -m benchmarks.spark_cost``; each size runs in a process of its own, so that its Java ends with it.
"""

import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

import numpy as np

#: events of the logs; the last one is predicted
SIZES = (500_000, 1_000_000, 2_000_000, 4_000_000)

SNAPSHOTS = 8


def measured(events: int, folder: Path) -> dict[str, float]:
    """Processor seconds of driver, Java and executors, and seconds by the clock, of one run by itself."""
    command = [sys.executable, "-m", "benchmarks.spark_cost", str(events), str(folder)]
    answer = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(answer.stdout.splitlines()[-1])
    return found


def run(events: int, folder: Path) -> dict[str, float]:
    """Read and judge a log, write its snapshots with labels, and draw the rows to learn from."""
    from pyspark.sql import SparkSession

    from benchmarks.features import weekly
    from benchmarks.world import log_of
    from features.settings import Settings
    from features.snapshot import write_snapshots
    from features.spark.log import SparkLog
    from training.dataset.attach_labels import Labels
    from training.dataset.labelled_rows import LabelledRows
    from training.dataset.split import split

    log = log_of(events, folder)
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), perf_counter()
    session = (
        SparkSession.builder.master("local[2]").config("spark.ui.enabled", False).config("spark.driver.memory", "3g")
        .config("spark.ui.showConsoleProgress", False).config("spark.log.level", "ERROR").getOrCreate()
    )  # fmt: skip
    with log.fresh_home() as home:
        spark = SparkLog.open(log.definition, Settings(home=home, engine="spark", spark="local[2]"))
        cutoffs = weekly(log, SNAPSHOTS)
        rows = write_snapshots(spark, cutoffs, log.definition, home / "snapshots", more=Labels(log.definition))
        labelled = LabelledRows(home / "snapshots", "churn", log.definition.training, spark.gather)
        instants = labelled.by_cutoff()["cutoff"].unique().sort().dt.epoch("us").to_numpy()
        parts = split(instants, log.definition.outcomes["churn"].reach)
        drawn = labelled.drawn(parts, dict(labelled.by_slice(parts).select("slice", "spread").iter_rows()))
        session.stop()
        if (gateway := session.sparkContext._gateway) is not None:
            gateway.shutdown()
            gateway.proc.stdin.close()
            gateway.proc.wait()
        seconds = perf_counter() - began
    mine, theirs = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = mine.ru_utime + mine.ru_stime + theirs.ru_utime + theirs.ru_stime - before.ru_utime - before.ru_stime
    driver = mine.ru_maxrss / 2**20
    return {"events": events, "rows": rows, "drawn": len(drawn), "cpu": cpu, "seconds": seconds, "driver_gib": driver}


def main(folder: Path) -> None:
    """Measure all sizes, fit the line to all but the last, and compare it with the last."""
    found = [measured(events, folder) for events in SIZES]
    for one in found:
        print(one)
    for what in ("cpu", "seconds"):
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
