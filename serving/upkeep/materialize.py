"""Profiles of everybody into the online store: those that changed since the last time."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl

from features.definition.schema import Definition
from features.errors import LiveLogError
from features.event_store.distributed import DistributedLog
from features.event_store.store import EventStore
from features.events.compacted import Compacted
from features.feature_store import OnlineProfiles
from features.feature_store.objects import profiles_path
from features.profile.executors import Executors
from features.profile.stored import Profiles
from features.reading.live_messages import LogColumns
from features.settings import Settings
from features.system.progress import Progress, ignore
from features.traits import stored_traits
from serving.database.identity import mark_of
from serving.database.tables import SHARDS


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


def materialize(
    log: EventStore | DistributedLog, definition: Definition, settings: Settings, *, progress: Progress = ignore
) -> int:
    """Fold the log through its end and put the profiles that changed online.

    An online store that does not hold what was last put there (another one, an emptied one) gets everybody's. A run
    that was killed is repeated by the next; older profiles never replace newer ones. On Spark executors fold, and put
    into Redis what has changed; into SQLite the driver does.

    Args:
        log: the log.
        definition: the definition.
        settings: which online store, and where things are kept.
        progress: gets each run of users that is done.

    Returns:
        How many profiles were written.

    Raises:
        LiveLogError: the compacted files and the online store are of two live logs.
    """
    online = OnlineProfiles(definition, settings, apply=True)
    _of_one_log(log.live, online)
    if log.columns:
        LogColumns(definition, log.columns).save(settings.folder(definition.name))
    with _uncollected():
        written = _changed(log, definition, settings, online, progress)
    if log.live.position:
        # all through it is in everybody's profile: the worker need not, and after a restore cannot, fold it again
        marks = [mark_of(shard) for shard in range(SHARDS)]
        online.mark(marks, through=max(log.ends, log.live.through), position=log.live.position)
    return written


def _of_one_log(files: Compacted, online: OnlineProfiles) -> None:
    named = online.log()
    if files.position and files.log and named and named not in (files.log, *files.earlier):
        raise LiveLogError(
            f"the compacted files are of the live log {files.log}, and the online store is of {named}.",
            fix="run propensity compact, which compares both with the live log; where it refuses, it says what to do",
        )


def _changed(
    log: EventStore | DistributedLog, definition: Definition, settings: Settings, online: OnlineProfiles,
    progress: Progress,
) -> int:  # fmt: skip
    """Put online who has changed; see `materialize`."""
    folder = profiles_path(definition, settings.folder(definition.name))
    store = log if isinstance(log, EventStore) else log.store
    profiles, written = Profiles(definition, folder), 0
    everyone = profiles.manifest is None or online.covered() != profiles.manifest.token
    # events that came by the live path are online already, and stay in
    through = max(store.ends, store.live.through)
    traits = stored_traits(definition, through, store.live)
    executors = _executors(log, definition, settings, folder, traits) if not isinstance(log, EventStore) else None
    for rows in profiles.advance(store, through, traits, everyone=everyone, runner=executors):
        written += online.write_frame(rows)
        progress(1)
    online.cover(through, profiles.reached.token)
    profiles.commit()
    return written + (executors.written if executors is not None else 0)


def _executors(
    log: DistributedLog, definition: Definition, settings: Settings, folder: Path, traits: pl.DataFrame | None
) -> Executors:
    """Those who fold: into Redis, which takes writes of many machines at once, they put profiles themselves."""
    redis = settings.online_store == "redis"
    return Executors(log, folder, traits, partial(_put_there, definition, settings.public()) if redis else None)


def _put_there(definition: Definition, settings: Settings, rows: pl.DataFrame) -> int:
    """Put some users' profiles online where the log is worked on, which need not see this machine's disk."""
    with TemporaryDirectory() as own:  # of the list of what the store holds, which is made of the definition
        here = settings.model_copy(update={"home": Path(own), "engine": "local"})
        return OnlineProfiles(definition, here, apply=True).write_frame(rows)
