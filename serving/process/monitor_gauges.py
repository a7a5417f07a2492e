"""Findings of the monitor as Prometheus gauges, read again only when the published file has changed."""

import logging
import math
import threading
from datetime import UTC, datetime
from pathlib import Path

from features.time import SECOND, Clock, to_instant
from serving.process.metrics import MONITOR_AGE, MONITOR_ALARMS, MONITOR_LABEL_AGE, MONITOR_RATIO
from serving.published.monitor import NAME, PublishedMonitor

log = logging.getLogger("propensity")


class MonitorGauges:
    """Sets the gauges of what `propensity monitor` found.

    Args:
        folder: the monitoring folder.
        clock: the service's clock; ages of labels are by it.
    """

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._file, self._clock = folder / NAME, clock
        self._changed: int | None = None
        self._newest: dict[str, int] = {}
        self._alarms: set[tuple[str, str]] = set()
        self._lock = threading.Lock()

    def refresh(self) -> None:
        """Read the file if it has changed, and set the ages; a damaged file leaves what was there, and is logged."""
        try:
            changed = self._file.stat().st_mtime_ns
        except OSError:
            return  # nothing was published: there is nothing to show
        with self._lock:
            if changed != self._changed:
                self._changed = changed
                self._read()
            # a file's time is the machine's, whatever clock the service was given
            MONITOR_AGE.set(max(0.0, datetime.now(UTC).timestamp() - changed / 1e9))
            now = self._clock.now()
            for outcome, at in self._newest.items():
                MONITOR_LABEL_AGE.labels(outcome).set((now - at) / SECOND)

    def _read(self) -> None:
        try:
            found = PublishedMonitor.read(self._file)
        except (OSError, ValueError) as error:
            log.warning("%s cannot be read (%s); propensity monitor writes it again", NAME, type(error).__name__)
            return
        # a label that was shown once stays; what is gone says so
        for of, name in self._alarms:
            MONITOR_ALARMS.labels(of, name).set(0)
        for outcome in self._newest:
            MONITOR_RATIO.labels(outcome).set(math.nan)
            MONITOR_LABEL_AGE.labels(outcome).set(math.nan)
        for one in found.findings:
            if one.alarm:
                self._alarms.add((one.outcome, one.name))
                MONITOR_ALARMS.labels(one.outcome, one.name).set(1)
                fields = {"outcome": one.outcome, "finding": one.name}
                log.warning("the monitor alarms: %s", one.words, extra=fields)
        self._newest = {}
        for outcome, result in found.outcomes.items():
            if result.level is not None and result.level.ratio is not None:
                MONITOR_RATIO.labels(outcome).set(result.level.ratio)
            if result.batches:
                midnight = datetime.combine(result.batches[-1].at, datetime.min.time(), UTC)
                self._newest[outcome] = to_instant(midnight)
