"""What the monitor published is on the service's metrics, read again only when it has changed."""

import json
import logging
import os
from pathlib import Path
from typing import Any

import anyio
import pytest

from features.time import Clock, parse_instant
from serving.process.monitor_gauges import MonitorGauges
from serving.published.monitor import PublishedMonitor
from tests.serving.desks import asking, desk, opening_of


def finding(name: str, outcome: str = "churn", *, alarm: bool = True) -> dict[str, object]:
    return {"outcome": outcome, "name": name, "alarm": alarm, "words": f"{name} was seen", "action": "act"}


def publish(folder: Path, findings: list[dict[str, object]], *, second: int, ratio: float | None = 1.25) -> None:
    churn = {"level": {"ratio": ratio, "users": 3}, "batches": [{"at": "2026-02-10"}, {"at": "2026-02-17"}]}
    content: dict[str, Any] = {"findings": findings, "outcomes": {"churn": churn, "spend": {"level": None}}}
    (folder / "monitor.json").write_text(json.dumps(content))
    os.utime(folder / "monitor.json", (second, second))


def page(gauges: MonitorGauges) -> str:
    """As a scraper reads it."""
    patch = pytest.MonkeyPatch()

    async def ask() -> str:
        async with asking(patch, opening_of(lambda: desk(monitor=gauges))) as api:
            return (await api.get("/metrics")).text

    try:
        return anyio.run(ask)
    finally:
        patch.undo()


def test_alarms_ratios_and_ages_are_shown(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    gauges = MonitorGauges(tmp_path, Clock(parse_instant("2026-03-03")))
    gauges.refresh()  # nothing was published yet
    publish(tmp_path, [finding("level_moved"), finding("users_changed", alarm=False)], second=1_772_000_000)
    with caplog.at_level(logging.WARNING, "propensity"):
        shown = page(gauges)
    assert 'propensity_monitor_alarms{finding="level_moved",outcome="churn"} 1.0' in shown
    assert "users_changed" not in shown, "a note is no alarm"
    assert 'propensity_monitor_ratio{outcome="churn"} 1.25' in shown
    [age] = [line for line in shown.splitlines() if line.startswith("propensity_monitor_label_age_seconds{")]
    assert float(age.split()[-1]) == pytest.approx(14 * 86_400, abs=60)
    [age] = [line for line in shown.splitlines() if line.startswith("propensity_monitor_age_seconds ")]
    assert float(age.split()[-1]) > 86_400
    [record] = [one for one in caplog.records if "the monitor alarms" in one.message]
    assert (record.__dict__["outcome"], record.__dict__["finding"]) == ("churn", "level_moved")
    publish(tmp_path, [finding("destination_stuck", "destinations.crm")], second=1_772_100_000, ratio=None)
    shown = page(gauges)
    assert 'propensity_monitor_alarms{finding="level_moved",outcome="churn"} 0.0' in shown, "it is gone"
    assert 'propensity_monitor_alarms{finding="destination_stuck",outcome="destinations.crm"} 1.0' in shown
    assert 'propensity_monitor_ratio{outcome="churn"} NaN' in shown


def test_an_unchanged_file_is_not_read_again_and_a_damaged_one_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    publish(tmp_path, [finding("level_moved")], second=1_772_000_000)
    reads: list[Path] = []
    whole = PublishedMonitor.read

    def read(file: Path) -> PublishedMonitor:
        reads.append(file)
        return whole(file)

    monkeypatch.setattr(PublishedMonitor, "read", read)
    gauges = MonitorGauges(tmp_path, Clock())
    for _ in range(3):
        gauges.refresh()
    assert len(reads) == 1
    (tmp_path / "monitor.json").write_text("{")
    with caplog.at_level(logging.WARNING, "propensity"):
        for _ in range(2):
            gauges.refresh()
    assert len(reads) == 2
    assert "monitor.json cannot be read" in caplog.text
    monkeypatch.undo()
    assert 'finding="level_moved"' in page(gauges)
