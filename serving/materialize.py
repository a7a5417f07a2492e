"""Profiles of everybody into the online store."""

import polars as pl

from features.definition.columns import feature_set
from features.definition.schema import Definition
from features.fold import profiles_at
from features.log.events import Events
from features.profile import H_EVENTS, layout_of
from features.progress import Progress, ignore
from features.rows import INSTANT
from features.settings import Settings
from features.store import OnlineProfiles
from features.store.objects import profiles_path
from serving.rows import latest_traits


def write_profiles(events: Events, definition: Definition, settings: Settings, *, progress: Progress = ignore) -> int:
    """Fold every user through the log's end; keep the packed profiles as Parquet and put them online."""
    layout, online = layout_of(definition), OnlineProfiles(definition, settings, apply=True)
    traits = latest_traits(definition, events.ends)
    names = feature_set(definition).traits
    known = {row[0]: dict(zip(names, row[1:], strict=True)) for row in traits.rows()} if traits is not None else {}
    frames, written = [], 0
    for first, words in profiles_at(events, events.ends, layout):
        users = events.users[first : first + len(words)].to_list()
        seen = [
            (u, online.pack(w, events.ends, known.get(u, {}))) for u, w in zip(users, words, strict=True) if w[H_EVENTS]
        ]
        written += online.write([u for u, _ in seen], [p for _, p in seen])
        frames.append(pl.DataFrame({"user": [u for u, _ in seen], "profile": [p.to_bytes() for _, p in seen]}))
        progress(len(words))
    through = pl.lit(events.ends).cast(INSTANT).alias("through")
    path = profiles_path(settings.folder(definition.name))
    pl.concat(frames).with_columns(through).write_parquet(path.with_suffix(".new"))
    path.with_suffix(".new").replace(path)
    return written
