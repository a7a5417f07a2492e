"""The connection to Spark."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from pyspark.sql import SparkSession

from features.settings import Settings

SESSION = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.ansi.enabled": "false",  # text that is not a time is null, and counted
    "spark.sql.execution.arrow.maxRecordsPerBatch": "50000",
    "spark.sql.legacy.timeParserPolicy": "CORRECTED",
    "spark.sql.sources.partitionColumnTypeInference.enabled": "false",  # what a folder says is text
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
}

_REGULAR = "spark.sql.parser.quotedRegexColumnNames"


def open_session(settings: Settings) -> SparkSession:
    """Connect to the Spark of the settings; one that runs already (Databricks, EMR notebooks) is used as it is."""
    if settings.spark.startswith("local"):
        # else the first python of the PATH works the partitions
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    started = SparkSession.builder.master(settings.spark).appName("propensity")
    session = SparkSession.getActiveSession() or started.getOrCreate()
    for key, value in SESSION.items():
        session.conf.set(key, value)
    return session


@contextmanager
def plain_names(session: SparkSession) -> Iterator[None]:
    """Names in backticks are names meanwhile; Feast has its sessions read them as regular expressions."""
    before = session.conf.get(_REGULAR, "false")
    session.conf.set(_REGULAR, "false")
    try:
        yield
    finally:
        session.conf.set(_REGULAR, before)
