"""Airflow: the nightly job as one task; copy it into the folder of your DAGs.

A retry continues the night from the step that did not end. An alarm (exit code 1) marks the task as skipped, so that
what comes after it can tell an alarm from a failure.
"""

from datetime import datetime, timedelta

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG

with DAG(
    dag_id="propensity_nightly",
    schedule="15 2 * * *",
    start_date=datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 2, "retry_delay": timedelta(minutes=15)},
) as dag:
    nightly = BashOperator(
        task_id="nightly",
        bash_command="/srv/shop/.venv/bin/propensity nightly --retrain-after 30d --recalibrate-on-alarm --strict",
        cwd="/srv/shop",
        skip_on_exit_code=1,
    )
