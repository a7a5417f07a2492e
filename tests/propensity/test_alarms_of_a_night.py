"""What a night trains again for: alarms of models, and never those of jobs and destinations."""

from typing import Any

from propensity.commands.nightly import _alarmed


def content(*findings: tuple[str, str]) -> dict[str, Any]:
    return {"findings": [{"outcome": of, "name": name, "alarm": True, "version": ""} for of, name in findings]}


def test_alarms_of_jobs_and_destinations_train_nothing() -> None:
    stuck = ("destinations.crm", "destination_stuck")
    still = content(("scores", "batch_missing"), ("profiles", "profiles_old"), stuck)
    assert _alarmed(still, {}, recalibrated=True) == ([], [])
    both = content(stuck, ("churn", "ranking_worse"), ("spend", "level_moved"))
    assert _alarmed(both, {}, recalibrated=True) == (["spend"], ["churn"])
