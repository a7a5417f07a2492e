"""Profiles that other machines fold, and put online where they can."""

import shutil
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl

from features.definition.schema import Definition
from features.event_store.distributed import DistributedLog
from features.event_store.manifest import Manifest
from features.events.events import Events
from features.events.write import JoinedWork, part_files
from features.feature_store import OnlineProfiles
from features.feature_store.objects import profiles_path
from features.identities.people import people_of
from features.profile.codec import ALONE, STAMP, Identity, pack_all, stored_bytes
from features.profile.everyone import EVERYONE
from features.profile.fold import profiles_at
from features.profile.layout import layout_of
from features.profile.manifest import ProfileManifest
from features.profile.stored import Profiles
from features.profile.stored_people import WHO, KnownIdentities
from features.profile.stored_traits import TRAITS, StoredTraits
from features.settings import Settings
from features.system.progress import Progress
from features.traits import stored_traits

#: a user's profile, as stored
PROFILES = pl.Schema({"user": pl.String(), "profile": pl.Binary()})


def materialize_distributed(
    log: DistributedLog, definition: Definition, settings: Settings, online: OnlineProfiles, progress: Progress
) -> int:
    """Fold everybody and put online who has changed; see `serving.upkeep.materialize.materialize`.

    Nothing counts before the end: a run that was killed is repeated by the next.

    Returns:
        How many profiles were written.
    """
    folder = profiles_path(definition, settings.folder(definition.name))
    events = log.store.manifest
    profiles, ends = Profiles(definition, folder), max(log.ends, log.live.through)
    known, people = stored_traits(definition, ends, log.live), people_of(log)
    identities = KnownIdentities(people, ends)
    state = _state(profiles.manifest, events, log, ends)
    everyone, scratch, last = folder / state.everyone, folder / "scratch", profiles.manifest
    shutil.rmtree(scratch, ignore_errors=True)  # of a run that was killed
    log.write_joined(known, _packing(log, definition, ends, identities), PROFILES, everyone, progress=progress)
    same = last is not None and online.covered() == last.token
    before = profiles.values(scratch / "before") if same else None
    log.write_changed(
        everyone, before, scratch / "changed", since=STAMP, gone=stored_bytes(ends, b"", "", log.live.position)
    )
    if settings.online_store == "redis":  # it takes writes of many machines at once
        found = log.gather(scratch / "changed", PROFILES.names(), partial(_put_there, definition, settings.public()))
    else:
        found = pl.concat(_put_part(online, pl.read_parquet(file)) for file in part_files(scratch / "changed"))
    shutil.rmtree(scratch)
    # ids that are called by others, or were at the last run, and have done nothing themselves
    was, who = profiles.who(), people.at(ends) if people else WHO.to_frame()
    merged = frozenset(identities) | frozenset(was["id"])
    acted: set[str] = set(log.gather(everyone, ["user"], partial(_among, merged))["user"]) if merged else set()
    below = who.filter(pl.col("id") != pl.col("user"))
    online_already = set(below.join(was, on=["id", "user"])["id"]) if same else set()
    nothing = sorted(merged - acted - online_already)
    rest = online.write_frame(_nothing(nothing, ends, log.live.position, identities))
    online.cover(ends, state.token)
    traits = StoredTraits(known, folder / "traits.parquet", events.buckets)
    profiles.replace(state, who, traits)
    return int(found["written"].sum()) + rest


def _packing(log: DistributedLog, definition: Definition, ends: int, identities: Mapping[str, Identity]) -> JoinedWork:
    """What executors make of users' events and attributes: what the online store holds of them."""
    layout, live = layout_of(definition), log.live.position

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

    return pack


def _state(last: ProfileManifest | None, events: Manifest, log: DistributedLog, through: int) -> ProfileManifest:
    """What the profiles are made of."""
    run = last.run + 1 if last is not None else 0
    name = f"{events.name}-run-{run}"
    return ProfileManifest(
        log=events.name,
        position=events.position,
        state=events.token,
        through=through,
        live=log.live.position,
        live_log=log.live.log,
        files={},
        run=run,
        people=f"people-{name}.parquet",
        everyone=f"{EVERYONE}-{name}",
    )


def _nothing(users: list[str], through: int, live: int, identities: Mapping[str, Identity]) -> pl.DataFrame:
    """What the online store holds of ids that have done nothing."""
    values = [stored_bytes(through, b"", "", live, identity=identities.get(user, ALONE)) for user in users]
    return pl.DataFrame({"user": users, "profile": values}, schema=PROFILES)


def _put_there(definition: Definition, settings: Settings, rows: pl.DataFrame) -> pl.DataFrame:
    """Put some users' profiles online where the log is worked on, which need not see this machine's disk."""
    with TemporaryDirectory() as own:  # of the list of what the store holds, which is made of the definition
        here = settings.model_copy(update={"home": Path(own), "engine": "local"})
        return _put_part(OnlineProfiles(definition, here, apply=True), rows)


def _put_part(online: OnlineProfiles, rows: pl.DataFrame) -> pl.DataFrame:
    """Put some users' profiles online: how many were ``written``."""
    return pl.DataFrame({"written": [online.write_frame(rows)]})


def _among(some: frozenset[str], rows: pl.DataFrame) -> pl.DataFrame:
    """Those of some users who have rows, ``user``."""
    return pl.DataFrame({"user": pl.Series(sorted(some.intersection(rows["user"])), dtype=pl.String)})
