"""All ids of the persons to whom some ids belong, as the kept profiles and the online store know them."""

from collections.abc import Sequence

import polars as pl

from features.definition.schema import Definition
from features.feature_store import OnlineProfiles
from features.feature_store.objects import profiles_path
from features.profile.codec import StoredProfile
from features.profile.stored import Profiles
from features.settings import Settings


def ids_of(definition: Definition, settings: Settings, users: Sequence[str]) -> list[str]:
    """The users with all other ids of theirs, in order.

    Args:
        definition: the definition.
        settings: where profiles are kept.
        users: ids, of which several may be one person's.
    """
    names = list(dict.fromkeys(users))
    if definition.identities is None:
        return names
    who = Profiles(definition, profiles_path(definition, settings.folder(definition.name))).who()
    asked = pl.Series(names, dtype=pl.String).implode()
    called = who.filter(pl.col("id").is_in(asked) | pl.col("user").is_in(asked))["user"].implode()
    names = list(dict.fromkeys([*names, *who.filter(pl.col("user").is_in(called))["id"]]))
    online = OnlineProfiles(definition, settings)
    for _ in range(2):  # what an id is called by now, and what else is called so
        values = online.read_values(names)
        found = [StoredProfile.from_bytes(value).identity for value in values if value is not None]
        more = [other for identity in found for other in (*identity.ids, identity.now) if other]
        names = list(dict.fromkeys([*names, *more]))
    return names
