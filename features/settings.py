"""Where things run and are kept: settings of a deployment, read once by the command line or the service."""

from pathlib import Path
from typing import Any, Literal

from pydantic import AwareDatetime, NonNegativeInt, PositiveInt, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from features.errors import SettingsError, shown


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
        token: bearer token that callers of the API may send, beside those kept by ``propensity keys``.
        auth: ``off`` serves without a token, for local use only.
        live_log: SQLAlchemy's address of the live log's database; empty means a SQLite file in ``home``. PostgreSQL,
            ``postgresql+psycopg://…``, one database a definition, when more than one process serves.
        worker: ``off`` leaves folding live events, and the hand-off, to other processes (``propensity worker``).
        clock: the service's clock shows this instant when it starts, for replays and demonstrations.
        rate: requests a minute that one key may make; ``0`` is without limit.
        dead_letters: how many refused messages are kept; the oldest go first.
        dead_letter_days: for how many days they are kept.
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
    live_log: SecretStr = SecretStr("")
    worker: Literal["on", "off"] = "on"
    clock: AwareDatetime | None = None
    rate: NonNegativeInt = 60_000
    dead_letters: NonNegativeInt = 20_000
    dead_letter_days: PositiveInt = 30

    def __init__(self, **given: Any) -> None:
        """Read the environment; what is given here goes before it.

        Raises:
            SettingsError: a setting has a value that it cannot have; all such settings are named.
        """
        try:
            super().__init__(**given)
        except ValidationError as error:
            found = [
                f"PROPENSITY_{str(item['loc'][0]).upper()} is {shown(item['input'])}: {item['msg']}"
                for item in error.errors(include_url=False)
            ]
            raise SettingsError(
                "; ".join(found) + ".", fix="set the variable to a value it can have, or unset it"
            ) from None

    def live_url(self, name: str) -> str:
        """The address of one definition's live log."""
        return self.live_log.get_secret_value() or f"sqlite:///{self.folder(name) / 'live.db'}"

    def folder(self, name: str) -> Path:
        """The folder of one definition's snapshots and stores."""
        return self.home.resolve() / name

    def live(self, name: str) -> Path:
        """The folder of the files that one definition's live log is compacted into."""
        return self.folder(name) / "live"

    def scores(self, name: str) -> Path:
        """The folder of the scores of one definition's batches."""
        return self.folder(name) / "scores"

    def events(self, name: str) -> Path:
        """The folder of one definition's event stores."""
        return self.folder(name) / "events"

    @property
    def mlflow_uri(self) -> str:
        """MLflow's tracking and registry address."""
        return self.tracking_uri or f"sqlite:///{self.home.resolve() / 'mlflow.db'}"
