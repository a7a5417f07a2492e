"""The connection to Spark."""

import logging
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from pyspark.sql import SparkSession

from features.errors import SparkError
from features.settings import Settings
from features.spark.errors import in_words

#: what a session must be started with
STARTED = {"spark.python.daemon.module": "features.spark.daemon"}

SESSION = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.optimizer.canChangeCachedPlanOutputPartitioning": "true",  # else 200 of what is cached, however small
    "spark.sql.ansi.enabled": "false",  # text that is not a time is null, and counted
    "spark.sql.execution.arrow.maxRecordsPerBatch": "50000",
    "spark.sql.legacy.timeParserPolicy": "CORRECTED",
    "spark.sql.sources.partitionColumnTypeInference.enabled": "false",  # what a folder says is text
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
}

_REGULAR = "spark.sql.parser.quotedRegexColumnNames"


#: seconds in which a master must take a connection; Spark itself would try for a minute
_ANSWERS = 5.0


def open_session(settings: Settings) -> SparkSession:
    """Connect to the Spark of the settings; one that runs already (Databricks, EMR notebooks) is used as it is.

    Raises:
        SparkError: it does not answer.
    """
    if settings.spark.startswith("local"):
        # else the first python of the PATH works the partitions
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    logging.getLogger("SQLQueryContextLogger").setLevel(logging.CRITICAL)  # what it logs, our errors say in words
    started = SparkSession.builder.master(settings.spark).appName("propensity").config(map=STARTED)
    with in_words(settings.spark):
        session = SparkSession.getActiveSession()
        if session is None:
            _check_answers(settings.spark)
            session = started.getOrCreate()
        for key, value in SESSION.items():
            session.conf.set(key, value)
    return session


def _check_answers(address: str) -> None:
    """See that one of the masters that an address names takes connections.

    Raises:
        SparkError: none does.
    """
    scheme, _, hosts = address.partition("://")
    why: OSError | None = None
    for each in hosts.split(",") if scheme == "spark" else ():
        host, _, port = each.rpartition(":")
        if not (host and port.isdigit()):
            return  # Spark has words for it
        try:
            socket.create_connection((host, int(port)), _ANSWERS).close()
        except OSError as error:
            why = error
        else:
            return
    if why is not None:
        raise SparkError(
            f"no master of Spark answers at {address}: {why}.", fix="start it, or correct PROPENSITY_SPARK"
        ) from why


@contextmanager
def plain_names(session: SparkSession) -> Iterator[None]:
    """Names in backticks are names meanwhile; Feast has its sessions read them as regular expressions."""
    before = session.conf.get(_REGULAR, "false")
    session.conf.set(_REGULAR, "false")
    try:
        yield
    finally:
        session.conf.set(_REGULAR, before)
