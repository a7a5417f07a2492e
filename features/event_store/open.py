"""Opening a definition's log where the settings say it is worked on."""

from dataclasses import replace

import numpy as np

from features.definition.schema import Definition
from features.errors import PropensityError
from features.event_store.distributed import DistantOrigin
from features.event_store.manifest import Manifest, made_of
from features.event_store.store import EventStore
from features.event_store.stored_events import Origin
from features.event_store.warnings import warn, warn_of_fetched
from features.events.compacted import Compacted
from features.events.distributed import DistributedLog
from features.reading.live_messages import LogColumns
from features.reading.places import place_of
from features.reading.source import EventLog
from features.settings import Settings
from features.sources.fetch import fetch
from features.system.progress import Steps


def open_files(definition: Definition, settings: Settings, *, ends: int | None = None, live: Compacted) -> EventLog:
    """Open the files of a log; what was decided of their columns when they were first read still holds."""
    state = Manifest.load(settings.events(definition.name) / made_of(definition, place_of(definition)))
    return EventLog(definition, ends=ends, live=live, types=state.types if state else None)


def origin_of(definition: Definition, settings: Settings, state: str, *, live: Compacted) -> Origin:
    """What is known of the log that kept profiles were folded from, whichever engine has kept its events.

    Args:
        definition: the definition.
        settings: where things are kept.
        state: what the kept profiles call the event store, `Manifest.name`.
        live: what has been compacted out of the live log.

    Raises:
        PropensityError: this machine has kept the events, and the log's files are not here.
    """
    whole = int(np.iinfo(np.int64).max)
    elsewhere = DistantOrigin(definition, whole, live, {})
    if made_of(definition, elsewhere.place) != state.rpartition("-")[0]:
        return open_files(definition, settings, ends=whole, live=live)
    return replace(elsewhere, columns=LogColumns.load(definition, settings.folder(definition.name)).types)


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
    with steps(f"connect to Spark at {settings.spark}"):
        return SparkLog(definition, settings, ends=ends, live=live)


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
