"""The feature store of a definition, opened."""

import json
from importlib.resources import files
from pathlib import Path
from string import Template

import features.system.in_memory  # noqa: F401

import yaml
from feast import FeatureStore, RepoConfig

from features.definition.columns import feature_set
from features.definition.schema import Definition
from features.feature_store.objects import feast_objects
from features.profile.codec import FORMAT
from features.settings import Settings

#: a store that does not answer is down: a request fails at once, and can be sent again
_TIMEOUTS = {"socket_timeout": "2", "socket_connect_timeout": "1", "retry": "null"}


def repo_variables(definition: Definition, settings: Settings) -> dict[str, str]:
    """Values for the ``${…}`` of ``features/repo/feature_store.yaml``.

    The project's name carries the feature set's digest: a changed definition gets stores of its own, and the old ones
    go on serving the old models.
    """
    folder = settings.folder(definition.name)
    online: dict[str, object] = {"type": "sqlite", "path": str(folder / "online.db")}
    if settings.online_store == "redis":
        # the guard on time is ours and the same for every store; Feast's own would also refuse equal times
        given = {part.split("=")[0] for part in settings.redis.split(",")}
        options = [f"{key}={value}" for key, value in _TIMEOUTS.items() if key not in given]
        online = {"type": "redis", "connection_string": ",".join([settings.redis, *options]), "skip_dedup": True}
    offline: dict[str, object] = {"type": "duckdb"}
    if settings.engine == "spark":
        conf = {"spark.master": settings.spark, "spark.sql.session.timeZone": "UTC"}
        # answers come by way of files: nothing is collected
        offline = {"type": "spark", "spark_conf": conf, "staging_location": str(folder / "staging")}
    return {
        "FEAST_PROJECT": f"{definition.name.replace('-', '_')}_{feature_set(definition).digest}_{FORMAT}",
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
