"""Profiles online: one packed value a user, written with a guard on time, read at request time."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from string import Template

import yaml
from feast import FeatureStore, RepoConfig
from feast.infra.provider import get_provider
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value

from features.definition.columns import feature_set
from features.definition.schema import Definition
from features.errors import StoreError
from features.packed import StoredProfile, pack, stored_bytes, stored_through, unpack
from features.profile import Words, layout_of
from features.settings import Settings
from features.store.objects import PROFILE_VIEW, feast_objects
from features.time import to_datetime

_ENTITY, _FEATURE = "user", "profile"

#: under this name, which no log can hold, lies through when the store covers everybody
COVERAGE = "\x00through"


def repo_variables(definition: Definition, settings: Settings) -> dict[str, str]:
    """Values for the ``${…}`` of ``features/repo/feature_store.yaml``.

    The project's name carries the feature set's digest: a changed definition gets stores of its own, and the old ones
    go on serving the old models.
    """
    folder = settings.folder(definition.name)
    online: dict[str, object] = {"type": "sqlite", "path": str(folder / "online.db")}
    if settings.online_store == "redis":
        # the guard on time is ours and the same for every store; Feast's own would also refuse equal times
        online = {"type": "redis", "connection_string": settings.redis, "skip_dedup": True}
    offline: dict[str, object] = {"type": "duckdb"}
    if settings.engine == "spark":
        conf = {"spark.master": settings.spark, "spark.sql.session.timeZone": "UTC"}
        # answers come by way of files: nothing is collected
        offline = {"type": "spark", "spark_conf": conf, "staging_location": str(folder / "staging")}
    return {
        "FEAST_PROJECT": f"{definition.name.replace('-', '_')}_{feature_set(definition).digest}",
        "FEAST_REGISTRY": str(folder / "registry.db"),
        "FEAST_ONLINE_STORE": json.dumps(online),
        "FEAST_OFFLINE_STORE": json.dumps(offline),
    }


def open_store(definition: Definition, settings: Settings, *, apply: bool = False) -> FeatureStore:
    """Open the feature store of a definition.

    Args:
        definition: the definition.
        settings: where things are kept.
        apply: write the objects made from the definition into Feast's registry first.
    """
    template = files("features.repo").joinpath("feature_store.yaml").read_text(encoding="utf-8")
    content = yaml.safe_load(Template(template).substitute(repo_variables(definition, settings)))
    folder = settings.folder(definition.name)
    folder.mkdir(parents=True, exist_ok=True)
    store = FeatureStore(config=RepoConfig(**content, repo_path=Path(str(files("features.repo")))))
    if apply:
        store.apply(feast_objects(definition, folder, settings.engine))
    return store


class OnlineProfiles:
    """Packed profiles in Feast's online store.

    Args:
        definition: the definition.
        settings: which store, and where.
        apply: create the store's tables when they are not there.
    """

    def __init__(self, definition: Definition, settings: Settings, *, apply: bool = False) -> None:
        self.layout = layout_of(definition)
        store = open_store(definition, settings, apply=apply)
        # Feast's provider, one step below its data frames: writing a profile costs a third, reading half
        self._config = store.config
        self._provider = get_provider(store.config)
        self._view = store.get_feature_view(PROFILE_VIEW)

    def write(self, users: Sequence[str], profiles: Sequence[StoredProfile]) -> int:
        """Store profiles, but never an older one over a newer one.

        Returns:
            How many were written; the others met a profile folded further.
        """
        if len(users) != len(profiles):
            raise StoreError(f"{len(users)} users and {len(profiles)} profiles.", fix="pass one profile a user")
        return self.write_values(users, [profile.to_bytes() for profile in profiles])

    def write_values(self, users: Sequence[str], values: Sequence[bytes]) -> int:
        """Store profiles as `StoredProfile.to_bytes` packs them; as `write`."""
        keys = self._keys(users)
        fresh = [
            (key, {_FEATURE: Value(bytes_val=value)}, to_datetime(stored_through(value)), None)
            for key, value, old in zip(keys, values, self._raw(keys), strict=True)
            if old is None or stored_through(old) <= stored_through(value)
        ]
        if fresh:
            self._provider.online_write_batch(self._config, self._view, fresh, None)
        return len(fresh)

    def cover(self, through: int, token: str) -> None:
        """Say that everybody's profile is here who changed through an instant; the others' are good through it too."""
        self.write_values([COVERAGE], [stored_bytes(through, token.encode(), "")])

    def covered(self) -> str:
        """The token of the last `cover`; empty when there was none."""
        [value] = self._raw(self._keys([COVERAGE]))
        return StoredProfile.from_bytes(value).words.decode() if value is not None else ""

    def read(self, users: Sequence[str]) -> dict[str, StoredProfile]:
        """Read profiles; users without one, and erased ones, are left out.

        A profile that has not changed is not written again, so that it is good through whichever is later: its own
        instant, or the one the store covers.
        """
        *values, covered = self._raw(self._keys([*users, COVERAGE]))
        through = stored_through(covered) if covered is not None else 0
        found = {
            u: StoredProfile.from_bytes(value) for u, value in zip(users, values, strict=True) if value is not None
        }
        return {u: replace(p, through=max(p.through, through)) for u, p in found.items() if p.words}

    def unpack(self, profiles: Iterable[StoredProfile]) -> list[Words]:
        """Unpack the words of profiles, in order."""
        return [unpack(profile.words, self.layout) for profile in profiles]

    def pack(self, words: Words, through: int, traits: Mapping[str, str | None]) -> StoredProfile:
        """Pack a folded profile for `write`."""
        return StoredProfile(through, pack(words, self.layout), traits)

    def _keys(self, users: Sequence[str]) -> list[EntityKey]:
        return [EntityKey(join_keys=[_ENTITY], entity_values=[Value(string_val=user)]) for user in users]

    def _raw(self, keys: list[EntityKey]) -> list[bytes | None]:
        found = self._provider.online_read(self._config, self._view, keys, [_FEATURE])
        return [row[_FEATURE].bytes_val or None if row else None for _, row in found]
