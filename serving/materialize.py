"""Profiles of everybody into the online store: those that changed since the last time."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

from features.definition.schema import Definition
from features.log.store import EventStore
from features.profiles import Profiles, traits_json
from features.progress import Progress, ignore
from features.settings import Settings
from features.store import OnlineProfiles
from features.store.objects import profiles_path
from serving.rows import latest_traits

#: profiles written at once
BATCH = 2_000


@contextmanager
def _uncollected() -> Iterator[None]:
    """Keep the garbage collector from going through millions of small objects, none in a cycle: a third of the time."""
    running = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if running:
            gc.enable()


def materialize(store: EventStore, definition: Definition, settings: Settings, *, progress: Progress = ignore) -> int:
    """Fold the log through its end and put the profiles that changed online.

    An online store that does not hold what was last put there (another one, an emptied one) gets everybody's. A run
    that was killed is repeated by the next; older profiles never replace newer ones.

    Args:
        store: the event store, up to date.
        definition: the definition.
        settings: which online store, and where things are kept.
        progress: told the number of buckets done.

    Returns:
        How many profiles were written.
    """
    online = OnlineProfiles(definition, settings, apply=True)
    profiles = Profiles(definition, profiles_path(definition, settings.folder(definition.name)))
    everyone = profiles.manifest is None or online.covered() != profiles.manifest.token
    traits = traits_json(latest_traits(definition, store.ends))
    written = 0
    with _uncollected():
        for rows in profiles.advance(store, store.ends, traits, everyone=everyone):
            for part in rows.iter_slices(BATCH):
                written += online.write_values(part["user"].to_list(), part["profile"].to_list())
            progress(1)
    online.cover(store.ends, profiles.reached.token)
    profiles.commit()
    return written
