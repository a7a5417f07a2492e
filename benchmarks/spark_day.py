"""What a night's `materialize` costs on Spark: everybody once, and a day on top of that.

Run as ``python -m benchmarks.spark_day``; each size runs in a process of its own, so that its Java ends with it.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

from benchmarks.scale import day_apart
from benchmarks.spark_cost import opened, processor_seconds
from benchmarks.world import Log, log_of
from features.definition.schema import Definition
from features.reading.source import EventLog
from features.settings import Settings
from features.time import DAY

#: events of the logs
SIZES = (1_000_000, 2_000_000, 4_000_000, 8_000_000)


def run(log: Log) -> dict[str, float]:
    """Put profiles online without a log's last day, take the day in, and find nothing new; in one session."""
    ends = EventLog(log.definition).ends
    found: dict[str, float] = {"events": log.events}
    with log.fresh_home() as home, opened():
        rules, files, day = day_apart(log, home)
        settings = Settings(home=home / "var", engine="spark", spark="local[2]")
        for what, instant in (("first", ends - DAY), ("day", ends), ("nothing", ends)):
            if what == "day":
                shutil.copy(day, files)
            began, used = perf_counter(), processor_seconds()
            found[f"{what}_profiles"] = materialized(rules, settings, instant)
            found[f"{what}_seconds"] = perf_counter() - began
            found[f"{what}_cpu"] = processor_seconds() - used
    return found


def materialized(rules: Definition, settings: Settings, ends: int) -> int:
    """Take in what is new of a log through an instant, and put online who has changed: how many."""
    from features.spark.log import SparkLog
    from serving.upkeep.materialize import materialize

    return materialize(SparkLog.open(rules, settings, ends=ends), rules, settings)


def main(folder: Path) -> None:
    """Measure all sizes, and print what each night cost."""
    for events in SIZES:
        command = [sys.executable, "-m", "benchmarks.spark_day", str(events), str(folder)]
        print(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1], flush=True)


if __name__ == "__main__":
    os.environ["PYSPARK_PYTHON"] = sys.executable
    if len(sys.argv) > 2:
        print(json.dumps(run(log_of(int(sys.argv[1]), Path(sys.argv[2])))))
    else:
        with TemporaryDirectory() as name:
            main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(name))
