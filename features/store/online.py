"""Profiles online: one packed value a user, written with a guard on time, read at request time."""

import json
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from string import Template

import pandas as pd
import yaml
from feast import FeatureStore, RepoConfig

from features.definition.columns import feature_set
from features.definition.schema import Definition
from features.errors import StoreError
from features.profile import Words, layout_of, pack, unpack
from features.settings import Settings
from features.store.objects import PROFILE_VIEW, feast_objects
from features.time import to_datetime

_HEAD = struct.Struct("<qI")


@dataclass(frozen=True, slots=True)
class StoredProfile:
    """What the online store holds of a user.

    Attributes:
        through: the log is folded in through this instant.
        words: the profile.
        traits: the attributes known by then.
    """

    through: int
    words: bytes
    traits: Mapping[str, str | None]

    def to_bytes(self) -> bytes:
        """Pack for the store."""
        traits = json.dumps(dict(self.traits)).encode() if self.traits else b""
        return _HEAD.pack(self.through, len(traits)) + traits + self.words

    @classmethod
    def from_bytes(cls, value: bytes) -> "StoredProfile":
        """Unpack what `to_bytes` packed."""
        through, length = _HEAD.unpack_from(value)
        body = value[_HEAD.size :]
        return cls(through, body[length:], json.loads(body[:length]) if length else {})


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
    return {
        "FEAST_PROJECT": f"{definition.name.replace('-', '_')}_{feature_set(definition).digest}",
        "FEAST_REGISTRY": str(folder / "registry.db"),
        "FEAST_ONLINE_STORE": json.dumps(online),
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
        store.apply(feast_objects(definition, folder))
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
        self._store = open_store(definition, settings, apply=apply)

    def write(self, users: Sequence[str], profiles: Sequence[StoredProfile]) -> int:
        """Store profiles, but never an older one over a newer one.

        Returns:
            How many were written; the others met a profile folded further.
        """
        if len(users) != len(profiles):
            raise StoreError(f"{len(users)} users and {len(profiles)} profiles.", fix="pass one profile a user")
        stored = self._raw(users)
        fresh = [
            (user, profile)
            for user, profile, old in zip(users, profiles, stored, strict=True)
            if old is None or _HEAD.unpack_from(old)[0] <= profile.through
        ]
        if fresh:
            frame = pd.DataFrame(
                {
                    "user": [user for user, _ in fresh],
                    "profile": [profile.to_bytes() for _, profile in fresh],
                    "through": [to_datetime(profile.through) for _, profile in fresh],
                }
            )
            self._store.write_to_online_store(PROFILE_VIEW, frame)
        return len(fresh)

    def read(self, users: Sequence[str]) -> dict[str, StoredProfile]:
        """Read profiles; users without one are left out."""
        found = zip(users, self._raw(users), strict=True)
        return {user: StoredProfile.from_bytes(value) for user, value in found if value is not None}

    def unpack(self, profiles: Iterable[StoredProfile]) -> list[Words]:
        """Unpack the words of profiles, in order."""
        return [unpack(profile.words, self.layout) for profile in profiles]

    def pack(self, words: Words, through: int, traits: Mapping[str, str | None]) -> StoredProfile:
        """Pack a folded profile for `write`."""
        return StoredProfile(through, pack(words, self.layout), traits)

    def _raw(self, users: Sequence[str]) -> list[bytes | None]:
        if not users:
            return []
        response = self._store.get_online_features([f"{PROFILE_VIEW}:profile"], [{"user": user} for user in users])
        values: list[bytes | None] = response.to_dict()["profile"]
        return values
