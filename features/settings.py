"""Where things run and are kept: settings of a deployment, read once by the command line or the service."""

from pathlib import Path
from typing import Literal

from pydantic import SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Settings from the environment, each named ``PROPENSITY_…``.

    Attributes:
        definition: the definition file.
        home: the folder for snapshots, stores and runs; one sub-folder per definition name.
        online_store: ``sqlite``, or ``redis`` when more than one process serves.
        redis: address of Redis, ``host:port``.
        engine: ``local`` works on this machine; ``spark`` on the Spark named next.
        spark: address of Spark: ``spark://…``, ``local[*]``; where a Spark session runs already, that one is used.
        tracking_uri: MLflow's tracking address; empty means a SQLite file in ``home``.
        token: bearer token that callers of the API must send.
        auth: ``off`` serves without a token, for local use only.
    """

    model_config = SettingsConfigDict(env_prefix="PROPENSITY_", frozen=True, extra="forbid")

    definition: Path = Path("propensity.yaml")
    home: Path = Path("var")
    online_store: Literal["sqlite", "redis"] = "sqlite"
    redis: str = "127.0.0.1:6379"
    engine: Literal["local", "spark"] = "local"
    spark: str = "local[*]"
    tracking_uri: str = ""
    token: SecretStr | None = None
    auth: Literal["token", "off"] = "token"

    def folder(self, name: str) -> Path:
        """The folder of one definition's snapshots and stores."""
        return self.home.resolve() / name

    def events(self, name: str) -> Path:
        """The folder of one definition's event stores."""
        return self.folder(name) / "events"

    @property
    def mlflow_uri(self) -> str:
        """MLflow's tracking and registry address."""
        return self.tracking_uri or f"sqlite:///{self.home.resolve() / 'mlflow.db'}"
