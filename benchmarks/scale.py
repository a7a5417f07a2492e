"""What features cost as the log, the snapshots, the signals and the days grow; each in a process of its own."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import duckdb
import numpy as np
import polars as pl
import typer

from benchmarks.features import weekly
from benchmarks.world import ROOT, Log, log_of
from features.definition.columns import feature_set
from features.definition.schema import Definition
from features.definition.sections.signal import Signal
from features.event_store.store import EventStore
from features.events.compacted import NONE
from features.events.events import Events
from features.profile.fold import fold_rows, read_all_at
from features.profile.kernel.users import fold_users
from features.profile.layout import layout_of
from features.profile.stored import Profiles
from features.reading.source import EventLog
from features.settings import Settings
from features.time import DAY, Instants
from features.traits import stored_traits

SNAPSHOTS = (1, 26, 52)


def with_signals(definition: Definition, count: int) -> Definition:
    """The demo's definition with so many signals: its own, then views of every n-th item."""
    own = dict(list(definition.signals.items())[:5]) if count > 4 else {
        name: rule for name, rule in definition.signals.items() if name != "sign_up"
    }  # fmt: skip
    more = count - len(own)
    items = {f"item_{i}": Signal(where=f"event = 'view_item' AND item % {more} = {i}") for i in range(more)}
    return definition.model_copy(update={"signals": own | items})


def kernel_speed(store: EventStore, definition: Definition) -> float:
    """Events a second that one core folds and reads once, at the log's end; the median over buckets."""
    layout, columns, speeds = layout_of(definition), len(feature_set(definition).numeric), []
    for bucket in list(store.buckets)[:12]:
        events = store.bucket(bucket)
        reading = read_all_at(events, np.array([store.ends]))
        out = np.zeros((columns, len(events.users)))
        for _ in range(2):  # the second time the memory is there
            began = perf_counter()
            fold_users(
                layout, layout.size, events.starts, events.t, events.visible, events.mask, events.values,
                reading.cutoffs, reading.lo, reading.hi, reading.row_at, out,
            )  # fmt: skip
            taken = perf_counter() - began
        speeds.append(len(events.t) / taken)
    return float(median(speeds))


def folded(store: EventStore, definition: Definition, cutoffs: Instants) -> int:
    """Fold everybody at the cutoffs and let the rows go."""

    def work(events: Events) -> int:
        return sum(len(rows) for rows in fold_rows(events, read_all_at(events, cutoffs), definition))

    return sum(store.map(work))


def kept_bytes(home: Path) -> int:
    """Size of the files of rows and of ids."""
    return sum(file.stat().st_size for file in home.rglob("*") if file.suffix in (".parquet", ".ids"))


def peak_gib() -> float:
    """The most memory this process has held; what ``getrusage`` says begins with what its parent held."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 2**20


def measure(log: Log, snapshots: tuple[int, ...] = SNAPSHOTS) -> dict[str, Any]:
    """Build the store of a log, read it, and fold it at some numbers of snapshots."""
    with log.fresh_home() as home:
        settings = Settings(home=home)
        began = perf_counter()
        store = EventStore.open(EventLog(log.definition), settings)
        answer: dict[str, Any] = {"events": store.counts["rows"], "signals": len(log.definition.signals)}
        answer["take_in_s"] = perf_counter() - began
        began = perf_counter()
        answer["kept"] = sum(store.map(lambda e: len(e.t)))
        answer["read_s"] = perf_counter() - began
        folded(store, log.definition, weekly(log, 1))
        for count in snapshots:
            cutoffs, taken = weekly(log, count), []
            for _ in range(3 if answer["events"] < 50_000_000 else 1):
                began = perf_counter()
                answer[f"rows_{count}"] = folded(store, log.definition, cutoffs)
                taken.append(perf_counter() - began)
            answer[f"read_and_fold_{count}_s"] = median(taken)
        answer["kernel_events_per_s_core"] = kernel_speed(store, log.definition)
        answer["store_bytes_per_event"] = kept_bytes(home) / answer["kept"]
    answer["peak_gib"] = peak_gib()
    return answer


def day_apart(log: Log, home: Path) -> tuple[Definition, Path, Path]:
    """A log in two files: all but its last day, in the folder that a definition reads; and the day, to be put there.

    Returns:
        The definition, its folder, and the file of the day.
    """
    source, files = log.folder / "data/demo", home / "events"
    files.mkdir()
    ends = EventLog(log.definition).ends
    with duckdb.connect() as connection:
        rows = f"read_parquet('{source}/events/*.parquet')"
        for file, came in ((files / "year.parquet", "<"), (home / "day.parquet", ">=")):
            which = f"SELECT * FROM {rows} WHERE epoch_us(arrived_at) {came} {ends - DAY}"
            connection.execute(f"COPY ({which}) TO '{file}'")
    rules = log.definition.model_copy(
        update={"events": log.definition.events.model_copy(update={"path": str(files / "*.parquet")})}
    )
    rules._source = log.definition._source
    return rules, files, home / "day.parquet"


def one_more_day(log: Log) -> dict[str, Any]:
    """Build a log's profiles without its last day, then take the day in; and build them whole."""
    ends = EventLog(log.definition).ends
    with log.fresh_home() as home:
        rules, files, day = day_apart(log, home)

        def through(where: str, instant: int) -> tuple[float, int]:
            began = perf_counter()
            store = EventStore.open(EventLog(rules, ends=instant), Settings(home=home / where))
            profiles = Profiles(rules, home / where / "profiles")
            traits = stored_traits(rules, instant, NONE)
            changed = sum(len(rows) for rows in profiles.advance(store, instant, traits))
            profiles.commit()
            return perf_counter() - began, changed

        days, wholes, changed = [], [], 0
        for repeat in range(2):
            (files / day.name).unlink(missing_ok=True)
            through(f"home-{repeat}", ends - DAY)
            shutil.copy(day, files)
            taken, changed = through(f"home-{repeat}", ends)
            days.append(taken)
            wholes.append(through(f"whole-{repeat}", ends)[0])
        events = pl.scan_parquet(day).select(pl.len()).collect().item()
    return {"events": log.events, "events_of_the_day": events, "profiles_changed": changed,
            "day_s": min(days), "rebuild_s": min(wholes), "share": min(days) / min(wholes)}  # fmt: skip


def apart(what: str, events: int, folder: Path, signals: int = 0) -> dict[str, Any]:
    """Run a measurement in a process of its own: memory peaks are of a whole process."""
    command = [sys.executable, "-m", "benchmarks.scale", what, str(events), str(folder), str(signals)]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def main(what: str, events: int, folder: Path, signals: int) -> None:
    """Measure once and print JSON."""
    log = log_of(events, folder)
    if signals:
        log = Log(log.folder, with_signals(log.definition, signals), log.events)
    answer = one_more_day(log) if what == "day" else measure(log, (26,) if signals else SNAPSHOTS)
    print(json.dumps(answer))


if __name__ == "__main__":
    typer.run(main)
