"""Dagster: the nightly job as one op with its results as metadata; load it with ``dagster dev -f dagster_job.py``."""

import json
import os
import subprocess

from dagster import Backoff, Definitions, Failure, OpExecutionContext, RetryPolicy, ScheduleDefinition, job, op

#: where the definition and its environment are
FOLDER = os.environ.get("PROPENSITY_FOLDER", "/srv/shop")
COMMAND = os.environ.get("PROPENSITY_COMMAND", f"{FOLDER}/.venv/bin/propensity")


@op(retry_policy=RetryPolicy(max_retries=2, delay=900, backoff=Backoff.LINEAR))
def nightly(context: OpExecutionContext) -> None:
    """Run a night; a retry continues it from the step that did not end."""
    options = ["--retrain-after", "30d", "--recalibrate-on-alarm", "--strict", "--json"]
    command = [COMMAND, "nightly", *options]
    done = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, check=False)  # noqa: S603 - ours
    context.log.info(done.stderr)
    if done.returncode not in (0, 1):  # 1: the night has ended, and the monitor alarms
        raise Failure(f"propensity nightly ended with {done.returncode}")
    if done.returncode == 1:
        context.log.warning("the monitor alarms: see propensity monitor")
    context.add_output_metadata({"night": json.loads(done.stdout)})


@job
def propensity_nightly() -> None:
    """Score, monitor, publish."""
    nightly()


defs = Definitions(
    jobs=[propensity_nightly],
    schedules=[ScheduleDefinition(job=propensity_nightly, cron_schedule="15 2 * * *")],
)
