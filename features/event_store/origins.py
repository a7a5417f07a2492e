"""What is known of a definition's log, of its files or of what other machines have kept of it."""

from dataclasses import replace

import numpy as np

from features.definition.schema import Definition
from features.event_store.distributed import DistantOrigin
from features.event_store.manifest import Manifest, made_of
from features.event_store.stored_events import Origin
from features.events.compacted import Compacted
from features.reading.live_messages import LogColumns
from features.reading.places import place_of
from features.reading.source import EventLog
from features.settings import Settings


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
