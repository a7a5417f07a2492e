"""Feature rows for scoring: from the log for the batch, from stored profiles at request time; the same numbers."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from features.definition.columns import feature_set
from features.definition.schema import Definition
from features.events.events import Events
from features.expressions.values import Texts, texts_of
from features.profile.fold import fold_rows, profile_rows, read_all_at
from features.profile.layout import H_VISIBLE
from features.rows import FeatureRows
from features.time import Instants

if TYPE_CHECKING:  # a batch reads the log: it has no need of Feast, which takes seconds to import
    from features.feature_store import OnlineProfiles


def batch_rows(
    events: Events,
    definition: Definition,
    cutoff: int,
    traits: pl.DataFrame | None,
    drawn_as: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[FeatureRows]:
    """Yield rows of every user visible at a cutoff, for each run of users.

    Args:
        events: theirs.
        definition: what is read from them.
        cutoff: the cutoff.
        traits: as `latest_traits` tells them.
        drawn_as: of users of several ids the id by which their holdout is drawn, where that is another.
    """
    for found in fold_rows(events, read_all_at(events, np.array([cutoff])), definition):
        rows = replace(found, drawn_as=drawn_as) if drawn_as else found
        if traits is None or not len(rows):
            yield rows
        else:
            known = rows.users.to_frame().join(traits, on="user", how="left", maintain_order="left")
            yield replace(rows, traits=texts_of(known, feature_set(definition).traits))


@dataclass(frozen=True, slots=True)
class OnlineRows:
    """Rows read from stored profiles.

    Attributes:
        rows: a row a user found, in the order asked.
        through: the instant through which the log is folded into each.
        covered: through when everybody's profile is good; 0 when the store was never filled, or has lost them.
        missing: users without a row, with the reason: ``unknown_user``, or ``as_of_before_profile`` when the profile
            has already seen events, or attributes, that were not visible then.
        now: of ids whose person is called by another id now, which one; that one has the row.
    """

    rows: FeatureRows
    through: Instants
    covered: int
    missing: Mapping[str, str]
    now: Mapping[str, str]


def online_rows(
    store: "OnlineProfiles", definition: Definition, users: Sequence[str], as_of: int, *, latest: bool = False
) -> OnlineRows:
    """Read users' profiles at an instant.

    Args:
        store: the profiles.
        definition: what is read from them.
        users: whose.
        as_of: the instant.
        latest: who has done something later is read right after that: clocks of several machines differ a little.
    """
    asked = list(dict.fromkeys(users))
    found = store.read_covered(asked)
    stored, covered = found.profiles, found.covered
    missing = {user: "unknown_user" for user in asked if found.now.get(user, user) not in stored}
    words = store.unpack(stored.values())
    seen = np.maximum(words[:, H_VISIBLE], np.array([p.visible_from for p in stored.values()], dtype=np.int64))
    if not latest and (ahead := seen > as_of).any():
        early = {user for user, later in zip(stored, ahead.tolist(), strict=True) if later}
        missing |= {user: "as_of_before_profile" for user in asked if found.now.get(user, user) in early}
        stored, words = {user: p for user, p in stored.items() if user not in early}, words[~ahead]
    names, profiles = feature_set(definition).traits, stored.values()
    traits = {name: Texts.of([profile.traits.get(name) for profile in profiles]) for name in names}
    cutoffs = np.full(len(words), as_of)
    if latest:
        cutoffs = np.maximum(cutoffs, seen)
    rows = profile_rows(list(stored), words, cutoffs, definition, traits)
    if drawn := {user: p.identity.drawn_as for user, p in stored.items() if p.identity.drawn_as}:
        rows = replace(rows, drawn_as=drawn)
    through = np.array([p.through for p in profiles], dtype=np.int64)
    now = {user: other for user, other in found.now.items() if user not in missing}
    return OnlineRows(rows, through, covered, missing, now)
