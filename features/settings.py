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
        home: the folder of everything the programs write; one folder per definition name in it.
        online_store: the online store of profiles: ``sqlite``, or ``redis`` when more than one process serves.
        redis: the address of Redis, ``host:port``.
        engine: ``local`` works on this machine, ``spark`` on the Spark named by ``PROPENSITY_SPARK``.
        spark: the address of Spark: ``spark://…`` or ``local[*]``; a Spark session that already runs is used instead.
        tracking_uri: the address of an MLflow server; without it, a SQLite file in ``PROPENSITY_HOME``.
        token: one more read key for callers of the API, beside those of ``propensity keys``.
        auth: ``token`` requires a key; ``off`` serves without keys, for local use only.
        live_log: the SQLAlchemy address of the live log's database; without it, a SQLite file in ``PROPENSITY_HOME``.
            PostgreSQL, ``postgresql+psycopg://…``, one database per definition, when more than one process serves.
        worker: ``on`` runs the worker and the sender in the service, ``off`` leaves them to ``propensity worker``.
        clock: the service's clock starts at this instant, for replays and demonstrations; without it, the real time.
        console: ``on`` serves the console under ``/console``, ``off`` does not.
        console_hide_ids: viewers of the console are shown no ids of users.
        rate: the largest number of requests a minute per key and process; ``0`` is without limit.
        dead_letters: how many refused messages are kept; the oldest are removed first.
        dead_letter_days: for how many days refused messages are kept.
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
    console: Literal["on", "off"] = "on"
    console_hide_ids: bool = False
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

    def population(self, name: str) -> Path:
        """The folder of what one definition's newest batch knows of everybody."""
        return self.folder(name) / "population"

    def monitoring(self, name: str) -> Path:
        """The folder of the predictions that one definition's monitor keeps, and of its tables."""
        return self.folder(name) / "monitoring"

    def events(self, name: str) -> Path:
        """The folder of one definition's event stores."""
        return self.folder(name) / "events"

    @property
    def mlflow_uri(self) -> str:
        """MLflow's tracking and registry address."""
        return self.tracking_uri or f"sqlite:///{self.home.resolve() / 'mlflow.db'}"
