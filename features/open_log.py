"""Opening a definition's log where the settings say it is worked on."""

from features.definition.schema import Definition
from features.errors import PropensityError
from features.event_store.distributed import DistributedLog
from features.event_store.origins import open_files
from features.event_store.store import EventStore
from features.event_store.stored_events import StoredEvents
from features.event_store.warnings import warn, warn_of_fetched
from features.events.compacted import Compacted
from features.reading.look import LocalLook, Look
from features.settings import Settings
from features.sources.fetch import fetch
from features.system.progress import Steps


def open_log(
    definition: Definition, settings: Settings, *, ends: int | None, steps: Steps
) -> EventStore | DistributedLog:
    """Open the log: fetch what is new at its sources, and take it into the event store, or connect to Spark.

    Args:
        definition: the definition.
        settings: ``engine`` says where.
        ends: overrides the declared end of the log.
        steps: shows progress.

    Raises:
        PropensityError: Spark is asked for and not installed.
    """
    if settings.engine != "spark":
        return open_local(definition, settings, ends=ends, steps=steps)
    live = _fetched(definition, settings, steps)
    try:
        from features.spark.log import SparkLog
    except ImportError as error:
        raise PropensityError("PROPENSITY_ENGINE is spark, and pyspark is not installed.",
                              fix="pip install 'propensity[spark]', and Java 17") from error  # fmt: skip
    with steps(f"take in the event log on Spark at {settings.spark}"):
        log = SparkLog.open(definition, settings, ends=ends, live=live)
    warn(log.store)
    return log


def open_looked_at(
    definition: Definition, settings: Settings, *, ends: int | None, steps: Steps
) -> tuple[StoredEvents, Look]:
    """Open the log as `open_log` does; and what looks at its rows where they lie."""
    log = open_log(definition, settings, ends=ends, steps=steps)
    return (log, LocalLook(log.log)) if isinstance(log, EventStore) else (log.store, log.look)


def open_local(definition: Definition, settings: Settings, *, ends: int | None, steps: Steps) -> EventStore:
    """Open the log on this machine, whatever ``engine`` says; else as `open_log`."""
    live = _fetched(definition, settings, steps)
    log = open_files(definition, settings, ends=ends, live=live)
    with steps("take in the event log", log.bytes) as advance:
        store = EventStore.open(log, settings, progress=advance)
    warn(store)
    return store


def _fetched(definition: Definition, settings: Settings, steps: Steps) -> Compacted:
    """Fetch what is new at the log's sources; what has been compacted out of the live log."""
    for fetched in fetch(definition, settings, steps):
        warn_of_fetched(fetched)
    return Compacted.load(settings.live(definition.name))
