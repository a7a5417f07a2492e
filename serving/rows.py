"""Feature rows for scoring: from the log for the batch, from stored profiles at request time. The numbers are the same."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from features.definition.columns import feature_set
from features.definition.schema import Definition
from features.events import Events, read_traits
from features.fold import feature_rows, profile_rows, read_all_at
from features.profile import H_VISIBLE
from features.snapshot import INSTANT
from features.store import OnlineProfiles
from features.time import to_datetime


def latest_traits(definition: Definition, cutoff: int) -> pl.DataFrame | None:
    """Each user's attributes as known at a cutoff, or None when the definition has none."""
    if definition.traits is None:
        return None
    known = read_traits(definition).filter(pl.col("known") <= to_datetime(cutoff))
    return known.sort("known").group_by("user").last().drop("known")


def batch_rows(events: Events, definition: Definition, cutoff: int) -> Iterator[pl.DataFrame]:
    """Yield rows of every user visible at a cutoff, a frame for each run of users."""
    traits = latest_traits(definition, cutoff)
    for frame in feature_rows(events, read_all_at(events, np.array([cutoff])), definition):
        if frame.is_empty():
            continue
        rows = frame.with_columns(pl.col("cutoff").cast(INSTANT)).with_columns(through=pl.col("cutoff"))
        yield rows if traits is None else rows.join(traits, on="user", how="left", maintain_order="left")


@dataclass(frozen=True, slots=True)
class OnlineRows:
    """Rows read from stored profiles.

    Attributes:
        rows: a row a user, in the order asked.
        missing: users without a row, with the reason: ``unknown_user``, or ``as_of_before_profile`` when the profile
            has already seen events that were not visible then.
    """

    rows: pl.DataFrame
    missing: Mapping[str, str]


def online_rows(store: OnlineProfiles, definition: Definition, users: Sequence[str], as_of: int) -> OnlineRows:
    """Read users' profiles at an instant."""
    asked = list(dict.fromkeys(users))
    stored = store.read(asked)
    words = dict(zip(stored, store.unpack(stored.values()), strict=True))
    missing = {user: "unknown_user" for user in asked if user not in stored}
    missing |= {user: "as_of_before_profile" for user, w in words.items() if w[H_VISIBLE] > as_of}
    known = [user for user in asked if user not in missing]
    if not known:
        return OnlineRows(pl.DataFrame(), missing)
    numbers = profile_rows(np.array([words[u] for u in known]), np.full(len(known), as_of), definition)
    keys = pl.DataFrame({"user": known, "through": [stored[u].through for u in known]})
    traits = {name: [stored[u].traits.get(name) for u in known] for name in feature_set(definition).traits}
    text = pl.DataFrame(traits, schema=dict.fromkeys(traits, pl.String))
    cutoff = pl.lit(as_of).cast(INSTANT).alias("cutoff")
    rows = keys.with_columns(cutoff, pl.col("through").cast(INSTANT)).hstack(numbers)
    return OnlineRows(rows.hstack(text) if traits else rows, missing)
