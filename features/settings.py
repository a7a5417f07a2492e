"""Where things run and are kept: settings of a deployment, read once by the command line or the service."""

import ipaddress
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args
from urllib.parse import urlsplit

from pydantic import AfterValidator, AwareDatetime, BeforeValidator, NonNegativeInt, PositiveInt, SecretStr
from pydantic import ValidationError as InvalidError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from features.errors import SettingsError, shown

#: what a person may be in the console
ConsoleRole = Literal["viewer", "read", "editor", "publisher", "privacy", "admin"]


def _read_json(value: object) -> object:
    try:
        return json.loads(value or "{}") if isinstance(value, str) else value
    except ValueError as error:
        raise ValueError(f"it is not JSON: {error}") from None


def _networks(value: str) -> str:
    for part in value.split(","):
        ipaddress.ip_network(part.strip())  # its error names the value
    return value


def _web_address(value: str) -> str:
    if not value:
        return value
    parts = urlsplit(value)
    local = parts.hostname in ("localhost", "127.0.0.1", "::1")
    if parts.scheme != "https" and not (parts.scheme == "http" and local):
        raise ValueError("it must begin with https://; http:// is for this machine only")
    if not parts.hostname or parts.query or parts.fragment or parts.username is not None:
        raise ValueError("it must be an address such as https://propensity.example.com")
    return value


#: what OpenID Connect cannot do without, beside roles
_OPENID = ("oidc_issuer", "oidc_client_id", "console_url")


def _store_address(value: str) -> str:
    if value and not value.startswith(("s3://", "gs://", "gcs://", "abfs://", "abfss://", "hdfs://")):
        raise ValueError("it must be an address such as s3://bucket/folder, gs://bucket/folder or abfs://box/folder")
    folder, mark, options = value.partition("?")
    return folder.rstrip("/") + mark + options


StoreAddress = Annotated[str, AfterValidator(_store_address)]

WebAddress = Annotated[str, AfterValidator(_web_address)]


class Settings(BaseSettings):
    """Settings from the environment, each named ``PROPENSITY_…``.

    Attributes:
        definition: the definition file.
        home: the folder of everything the programs write; one folder per definition name in it.
        online_store: the online store of profiles: ``sqlite``, or ``redis`` when more than one process serves.
        redis: the address of Redis, ``host:port``.
        engine: ``local`` works on this machine, ``spark`` on the Spark named by ``PROPENSITY_SPARK``.
        spark: the address of Spark: ``spark://…`` or ``local[*]``; a Spark session that already runs is used instead.
        shared: the address of a folder in an object store, ``s3://bucket/folder``, ``gs://…`` or ``abfs://…``, through
            which this machine and those of Spark hand files to each other, and in which Spark keeps events; without it,
            all of them must see ``PROPENSITY_HOME`` at the same path.
        tracking_uri: the address of an MLflow server; without it, a SQLite file in ``PROPENSITY_HOME``.
        token: one more read key for callers of the API, beside those of ``propensity keys``.
        auth: ``token`` requires a key; ``off`` serves without keys, for local use only.
        live_log: the SQLAlchemy address of the live log's database; without it, a SQLite file in ``PROPENSITY_HOME``.
            PostgreSQL, ``postgresql+psycopg://…``, one database per definition, when more than one process serves.
        kafka: the brokers of a Kafka-compatible log, ``host:port,host:port``: workers read events from one of its
            topics, beside those that come over HTTP.
        kafka_topic: the topic that workers read; its messages are those of the tracking API, as JSON.
        kafka_options: more properties of the client library, librdkafka, as JSON:
            ``{"security.protocol": "SASL_SSL", "sasl.mechanism": "PLAIN", "sasl.username": "…", "sasl.password": "…"}``
        kafka_start: where the first reading of the topic begins: at the ``earliest`` message that it still has, or at
            the ``latest``, with those that come from then on.
        worker: ``on`` runs the worker and the sender in the service, ``off`` leaves them to ``propensity worker``.
        clock: the service's clock starts at this instant, for replays and demonstrations; without it, the real time.
        console: ``on`` serves the console under ``/console``, ``off`` does not.
        console_hide_ids: viewers of the console are shown no ids of users.
        console_url: the address under which people reach this service, ``https://propensity.example.com``; OpenID
            Connect needs it, and its provider must know ``…/console/sign-in/oidc/return`` below it as the redirect
            address.
        console_roles: the role in the console of each group, as JSON: ``{"marketing": "editor", "data": "admin"}``; the
            roles are ``viewer``, ``read``, ``editor``, ``publisher``, ``privacy`` and ``admin``. Somebody in more than
            one group has all their roles; nobody signs in by OpenID Connect or a proxy without a role.
        oidc_issuer: the issuer of the OpenID Connect provider with which people sign in to the console.
        oidc_client_id: the client id that the provider gave to the console.
        oidc_client_secret: the client secret that goes with it; without it the console is a public client.
        oidc_groups_claim: the claim of the id token that lists the groups of a person.
        oidc_scopes: the scopes that the console asks the provider for, with spaces between them.
        console_user_header: the header in which a proxy names the person whom it signed in, ``X-Forwarded-User``;
            there is no sign-in page then.
        console_groups_header: the header in which that proxy lists the groups of the person, with commas between them.
        console_proxy: the addresses or networks of that proxy, with commas between them; the two headers are refused
            from any other address.
        rate: the largest number of requests a minute per key and process; ``0`` is without limit.
        scores_days: for how many days scores of batches are kept, counted back from the newest; ``0`` keeps all. What
            the monitor has drawn from them is kept for 460 days in any case.
        live_answers: how many answers of the service are kept per outcome and day, to be compared with what happens;
            ``0`` keeps none.
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
    shared: StoreAddress = ""
    tracking_uri: str = ""
    token: SecretStr | None = None
    auth: Literal["token", "off"] = "token"
    live_log: SecretStr = SecretStr("")
    kafka: str = ""
    kafka_topic: str = ""
    kafka_options: SecretStr = SecretStr("")
    kafka_start: Literal["earliest", "latest"] = "earliest"
    worker: Literal["on", "off"] = "on"
    clock: AwareDatetime | None = None
    console: Literal["on", "off"] = "on"
    console_hide_ids: bool = False
    console_url: WebAddress = ""
    console_roles: Annotated[Mapping[str, ConsoleRole], NoDecode, BeforeValidator(_read_json)] = {}
    oidc_issuer: WebAddress = ""
    oidc_client_id: str = ""
    oidc_client_secret: SecretStr | None = None
    oidc_groups_claim: str = "groups"
    oidc_scopes: str = "openid email profile"
    console_user_header: str = ""
    console_groups_header: str = ""
    console_proxy: Annotated[str, AfterValidator(_networks)] = "127.0.0.1,::1"
    rate: NonNegativeInt = 60_000
    scores_days: NonNegativeInt = 400
    live_answers: NonNegativeInt = 20_000
    dead_letters: NonNegativeInt = 20_000
    dead_letter_days: PositiveInt = 30

    def __init__(self, **given: Any) -> None:
        """Read the environment; what is given here goes before it.

        Raises:
            SettingsError: a setting has a value that it cannot have; all such settings are named.
        """
        try:
            super().__init__(**given)
        except InvalidError as error:
            found = [
                f"PROPENSITY_{str(item['loc'][0]).upper()} is {shown(item['input'])}: {item['msg']}"
                for item in error.errors(include_url=False)
            ]
            raise SettingsError(
                "; ".join(found) + ".", fix="set the variable to a value it can have, or unset it"
            ) from None
        self._check_ways()
        options = [option.partition("=")[0] for option in self.shared.partition("?")[2].split("&")]
        if "@" in self.shared or any("key" in name or "secret" in name for name in options):
            raise SettingsError(
                "PROPENSITY_SHARED holds keys, which would be kept and shown with the address.",
                fix="give them by the environment of each machine (AWS_ACCESS_KEY_ID, …), or by the machines' role",
            )
        if bool(self.kafka) != bool(self.kafka_topic):
            raise SettingsError(
                f"PROPENSITY_KAFKA is {shown(self.kafka)} and PROPENSITY_KAFKA_TOPIC is {shown(self.kafka_topic)}.",
                fix="set both, to read events from a topic, or neither",
            )
        self.kafka_properties()

    def _check_ways(self) -> None:
        """Check that the ways to sign in are whole, and that there is one at most beside keys.

        Raises:
            SettingsError: they are not.
        """
        proxy = bool(self.console_user_header or self.console_groups_header)
        openid = bool(self.oidc_issuer or self.oidc_client_id)
        if openid and proxy:
            raise SettingsError(
                "people cannot sign in both by OpenID Connect and by a proxy's headers.",
                fix="unset PROPENSITY_OIDC_ISSUER, or PROPENSITY_CONSOLE_USER_HEADER",
            )
        if not (openid or proxy):
            return
        needed = ("console_user_header", "console_groups_header") if proxy else _OPENID
        missing = [f"PROPENSITY_{name.upper()}" for name in (*needed, "console_roles") if not getattr(self, name)]
        if missing:
            way = "a proxy's headers" if proxy else "OpenID Connect"
            raise SettingsError(f"signing in by {way} needs {', '.join(missing)}, too.", fix="set what is missing")
        if self.auth == "off":
            raise SettingsError(
                "PROPENSITY_AUTH is 'off', which lets anybody into the console, and people are to sign in there.",
                fix="unset PROPENSITY_AUTH, or the way to sign in",
            )
        if openid and "openid" not in self.oidc_scopes.split():
            raise SettingsError(f"PROPENSITY_OIDC_SCOPES is {shown(self.oidc_scopes)}.", fix="add openid to it")

    def public(self) -> "Settings":
        """The same without keys, passwords and addresses that hold them, for machines that need none."""
        fields = type(self).model_fields
        secret = {
            name for name, field in fields.items() if SecretStr in (field.annotation, *get_args(field.annotation))
        }
        return self.model_copy(update={name: fields[name].default for name in (*secret, "tracking_uri")})

    def kafka_properties(self) -> dict[str, str | int | float | bool]:
        """The further properties of the Kafka client; they may hold passwords.

        Raises:
            SettingsError: they are no JSON object of plain values; what they are is not shown.
        """
        try:
            found = json.loads(self.kafka_options.get_secret_value() or "{}")
        except ValueError:
            found = None
        if not isinstance(found, dict) or not all(isinstance(value, (str, int, float)) for value in found.values()):
            raise SettingsError(
                "PROPENSITY_KAFKA_OPTIONS is not a JSON object of texts and numbers.",
                fix='write {"security.protocol": "SASL_SSL", "sasl.username": "…"}, or unset it',
            )
        return found

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
