"""Profiles of everybody into the online store: those that changed since the last time."""

import gc
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import polars as pl

from features.definition.schema import Definition
from features.errors import LiveLogError
from features.event_store.store import EventStore
from features.events.compacted import Compacted
from features.events.events import Events
from features.events.log import Log
from features.events.write import part_files
from features.feature_store import OnlineProfiles
from features.feature_store.objects import profiles_path
from features.identities.people import people_of
from features.profile.codec import ALONE, pack_all, stored_bytes
from features.profile.fold import profiles_at
from features.profile.layout import layout_of
from features.profile.stored import Profiles
from features.profile.stored_people import KnownIdentities
from features.profile.stored_traits import TRAITS
from features.reading.live_messages import LogColumns
from features.settings import Settings
from features.system.progress import Progress, ignore
from features.traits import stored_traits
from serving.database.identity import mark_of
from serving.database.tables import SHARDS

#: profiles written at once
BATCH = 2_000

#: a user's profile, as stored
PROFILES = pl.Schema({"user": pl.String(), "profile": pl.Binary()})


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


def materialize(log: Log, definition: Definition, settings: Settings, *, progress: Progress = ignore) -> int:
    """Fold the log through its end and put the profiles that changed online.

    An online store that does not hold what was last put there (another one, an emptied one) gets everybody's. A run
    that was killed is repeated by the next; older profiles never replace newer ones. On Spark everybody is folded, and
    put online, each time: by the executors into Redis, and by the driver into SQLite.

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
    folder = profiles_path(definition, settings.folder(definition.name))
    with _uncollected():
        if isinstance(log, EventStore):
            written = _changed(log, definition, online, folder, progress)
        else:
            written = _everyone(log, definition, settings, online, folder, progress)
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
    store: EventStore, definition: Definition, online: OnlineProfiles, folder: Path, progress: Progress
) -> int:
    profiles, written = Profiles(definition, folder), 0
    everyone = profiles.manifest is None or online.covered() != profiles.manifest.token
    # events that came by the live path are online already, and stay in
    through = max(store.ends, store.live.through)
    traits = stored_traits(definition, through, store.live)
    for rows in profiles.advance(store, through, traits, everyone=everyone):
        written += _put(online, rows)
        progress(1)
    online.cover(through, profiles.reached.token)
    profiles.commit()
    return written


def _everyone(
    log: Log, definition: Definition, settings: Settings, online: OnlineProfiles, folder: Path, progress: Progress
) -> int:
    layout, ends, live = layout_of(definition), max(log.ends, log.live.through), log.live.position
    known, people = stored_traits(definition, ends, log.live), people_of(log)
    identities = KnownIdentities(people, ends)

    def pack(events: Events, traits_of: pl.DataFrame | None) -> Iterator[pl.DataFrame]:
        events = events.as_of(ends)
        traits_now = (traits_of if traits_of is not None else pl.DataFrame(schema=TRAITS)).select(TRAITS.names())
        for first, words in profiles_at(events, ends, layout):
            users = events.users[first : first + len(words)].to_frame()
            mine = (
                users.join(traits_now, on="user", how="left", maintain_order="left")
                .select("traits", "visible_from")
                .iter_rows()
            )
            values = [
                stored_bytes(ends, w, traits or "", live, at or 0, identities.get(user, ALONE)) if w else None
                for user, w, (traits, at) in zip(users["user"], pack_all(words, layout), mine, strict=True)
            ]
            yield users.with_columns(profile=pl.Series(values, dtype=pl.Binary)).drop_nulls()

    everyone = folder.with_name(folder.name + ".everyone")
    log.write_joined(known, pack, PROFILES, everyone, progress=progress)
    merged = frozenset(identities)
    if settings.online_store == "redis":  # it takes writes of many machines at once
        found = log.gather(everyone, PROFILES.names(), partial(_put_there, definition, settings.public(), merged))
    else:
        found = pl.concat(_put_part(online, merged, pl.read_parquet(file)) for file in part_files(everyone))
    written, left = int(found["written"].sum()), set(merged).difference(*found["merged"].to_list())
    shutil.rmtree(everyone)
    # ids that are called by others, and those that have done nothing themselves
    others = {one: stored_bytes(ends, b"", "", live, identity=identities[one]) for one in sorted(left)}
    written += _put(online, pl.DataFrame({"user": list(others), "profile": list(others.values())}, schema=PROFILES))
    online.cover(ends, "")
    return written


def _put_there(definition: Definition, settings: Settings, merged: frozenset[str], rows: pl.DataFrame) -> pl.DataFrame:
    """Put some users' profiles online where the log is worked on."""
    return _put_part(OnlineProfiles(definition, settings), merged, rows)


def _put_part(online: OnlineProfiles, merged: frozenset[str], rows: pl.DataFrame) -> pl.DataFrame:
    """Put some users' profiles online: how many were ``written``, and which of the ``merged`` ids were among them."""
    met = [sorted(merged.intersection(rows["user"]))]
    return pl.DataFrame({"written": [_put(online, rows)], "merged": pl.Series(met, dtype=pl.List(pl.String))})


def _put(online: OnlineProfiles, rows: pl.DataFrame) -> int:
    parts = rows.iter_slices(BATCH)
    return sum(online.write_values(part["user"].to_list(), part["profile"].to_list()) for part in parts)
