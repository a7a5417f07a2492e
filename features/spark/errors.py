"""What Spark, its executors and its file systems raise, in words."""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from py4j.protocol import Py4JError, Py4JNetworkError
from pyspark.errors import AnalysisException, PySparkException
from pyspark.errors.exceptions.captured import CapturedException

from features import errors
from features.errors import EventLogError, PropensityError, SparkError

_PYTHON: Final = (
    f"install this package and Python {sys.version_info.major}.{sys.version_info.minor} on every machine of Spark, "
    "and name that Python in PYSPARK_PYTHON"
)
_MEMORY: Final = (
    "give spark.driver.memory, spark.executor.memory or spark.executor.memoryOverhead more in spark-defaults.conf; "
    "all events of a user are in one executor's memory at the same time"
)
_CONNECTORS: Final = (
    "add the file system's connector to Spark, as in spark.jars.packages org.apache.hadoop:hadoop-aws:<the version of "
    "Spark's Hadoop> in spark-defaults.conf, and begin addresses with s3a://, gs:// or abfss://"
)
_RIGHTS: Final = "let the user of Spark's driver and of its executors read the log, and read and write PROPENSITY_HOME"


@dataclass(frozen=True, slots=True)
class _Known:
    """A cause that is recognised by what Spark writes of it.

    Attributes:
        pattern: finds it; its first group is the value.
        message: what was found, with a place for the value.
        fix: what to do about it.
        of_log: it is about the files of the log.
    """

    pattern: str
    message: str
    fix: str
    of_log: bool = False


#: the first that is found is the cause: the more special ones come first
_CAUSES: Final = (
    _Known(
        r"No module named '([\w.]+)'", "the Python of Spark's executors has no module {}.", _PYTHON,
    ),
    _Known(
        r"\[(?:PACKAGE_NOT_INSTALLED|UNSUPPORTED_PACKAGE_VERSION)\] ([^\n]{1,200})",
        "the Python of Spark's executors does not do: {}.", _PYTHON,
    ),
    _Known(
        r"\[PYTHON_VERSION_MISMATCH\] ([^\n]{1,200})", "Spark's executors have another Python than its driver: {}.",
        _PYTHON,
    ),
    _Known(r'Cannot run program "([^"]*python[^"]*)"', "Spark's executors cannot start {}.", _PYTHON),
    _Known(
        r"(?:Class )(org\.apache\.hadoop\.fs\.[\w.$]+|com\.google\.cloud\.[\w.$]+) not found",
        "Spark has no class {}, with which it would read this file system.", _CONNECTORS, True,
    ),
    _Known(r'No FileSystem for scheme "?(\w+)', "Spark knows no file system {}://.", _CONNECTORS, True),
    _Known(
        r"((?:NoAuthWithAWS|NoAwsCredentials|CredentialInitialization)Exception|Unable to load (?:AWS )?credentials)",
        "Spark has no credentials for this file system ({}).",
        "give them to Spark, as in spark.hadoop.fs.s3a.access.key, by AWS_ACCESS_KEY_ID, or by a role of its machines",
        True,
    ),
    _Known(
        r"((?:AccessControl|AccessDenied)Exception[^\n]{0,160}|[^\n]{0,120}Permission denied[^\n]{0,80}|"
        r"Mkdirs failed to create [^\s]+|[Ss]tatus [Cc]ode: 40[13])",
        "Spark is not let to read or write: {}.", _RIGHTS,
    ),
    _Known(r"(No space left on device|Disk quota exceeded)", "a disk of Spark is full: {}.",
           "make room in PROPENSITY_HOME and in spark.local.dir of every machine"),
    _Known(
        r"UnknownHostException: ([\w.:-]+)", "there is no host {}.",
        "correct events.path, or the network's names", True,
    ),
    _Known(
        r"(?:ConnectException: )([^\n]{1,160})", "a file system does not answer Spark: {}.",
        "see that Spark's machines reach it", True,
    ),
    _Known(
        r"(OutOfMemoryError[^\n]{0,80}|Container killed by YARN[^\n]{0,120}|Python worker exited unexpectedly|"
        r"Total size of serialized results[^\n]{0,160}|ExecutorLostFailure[^\n]{0,160})",
        "Spark ran out of memory, or lost an executor: {}.", _MEMORY,
    ),
    _Known(
        r"FileNotFoundError: [^\n]{0,60}?'?(/[^'\s]+)'?", "Spark's executors have no folder for {}.",
        "let all machines of Spark see PROPENSITY_HOME at the same path, or name a folder in an object store in "
        "PROPENSITY_SHARED",
    ),
    _Known(
        r"\[FAILED_READ_FILE\.FILE_NOT_EXIST\] Encountered error while reading file (\S+?)\.\s", "no file at {}.",
        "write what is missing again, and see that every machine of Spark sees it at the same path", True,
    ),
    _Known(
        r"(?:\[PATH_NOT_FOUND\] Path does not exist: (\S+?)\.?\s)", "no file at {}.",
        "check events.path, and that every machine of Spark sees it at the same path", True,
    ),
    _Known(
        r"FileNotFoundException: (?:File )?([^\s]+)", "no file at {}.",
        "check events.path, and that every machine of Spark sees it at the same path", True,
    ),
    _Known(r"(\S+) is not a Parquet file", "{} is not a Parquet file.", "write it again, or take it away", True),
    _Known(
        r"\[FAILED_READ_FILE[.\w]*\] Encountered error while reading file (\S+?)\.\s", "{} cannot be read.",
        "write it again, or take it away", True,
    ),
    _Known(r"(\[?JAVA_GATEWAY_EXITED\]?|Unable to locate a Java Runtime)", "Java did not start ({}).",
           "install Java 17, and name its folder in JAVA_HOME"),
    _Known(r"Could not parse Master URL: '([^']*)'", "PROPENSITY_SPARK is {!r}, which is no address of Spark.",
           "set it to spark://host:7077, yarn or local[*]"),
    _Known(
        r"(All masters are unresponsive|stopped SparkContext|SparkContext was shut down)",
        "Spark has stopped: {}.",
        "see that PROPENSITY_SPARK names a master of this version that runs; the log of Spark's driver says more",
    ),
)  # fmt: skip


@contextmanager
def in_words(place: str) -> Iterator[None]:
    """Turn whatever Spark raises into one of our errors; errors of ours that executors raise come back as they are.

    Args:
        place: what Spark was asked for: its address, or where the log is.

    Raises:
        SparkError: Spark, or the Python of its executors, cannot do it.
        EventLogError: the log's files cannot be read.
    """
    try:
        yield
    except (PySparkException, Py4JError) as error:
        raise _worded(error, place) from error


def _worded(error: Exception, place: str) -> PropensityError:
    text = str(error)
    if isinstance(error, CapturedException):
        text += f"\n{getattr(error, '_stackTrace', None) or ''}"
    if (ours := _raised_by_us(text)) is not None:
        return ours
    for known in _CAUSES:
        if found := re.search(known.pattern, text):
            kind = EventLogError if known.of_log else SparkError
            return kind(f"{known.message.format(found[1].strip())} Spark was asked for {place}.", fix=known.fix)
    first = _first_line(text)
    if isinstance(error, AnalysisException):
        return EventLogError(f"cannot read {place}: {first}.", fix="check events.path and the signals")
    if isinstance(error, Py4JNetworkError):
        return SparkError(f"the driver of Spark has ended: {first}.", fix=_MEMORY)
    return SparkError(f"Spark could not read or work on {place}: {first}.", fix="the log of Spark's driver says more")


def _raised_by_us(text: str) -> PropensityError | None:
    """An error of ours that ended the Python of an executor, out of its traceback."""
    found = re.search(r"^(?:[a-z_]+\.)+(\w+Error): (.+?)(?:\n\s*(?:at |\n)|\s*\Z)", text, re.MULTILINE | re.DOTALL)
    if found is None or not re.match(r"(features|segments|serving|training|monitoring)\.", found[0]):
        return None
    kind = getattr(errors, found[1], PropensityError)
    message, _, fix = found[2].partition(" Fix: ")
    if not (isinstance(kind, type) and issubclass(kind, PropensityError)) or kind is errors.RefusalError:
        kind = PropensityError
    return kind(message, fix=fix)


def _first_line(text: str) -> str:
    """The first line that says something, without Py4J's own words."""
    lines = (re.sub(r"^: ", "", line.strip()) for line in text.splitlines())
    words = (line for line in lines if line and not line.startswith("An error occurred while calling"))
    return next(words, "it says no more").rstrip(".")
