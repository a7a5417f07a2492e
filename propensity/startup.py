"""What is looked at before a server is started: what would fail there fails here, in words."""

import errno
import ipaddress
import os
import socket
import tempfile
import time
from pathlib import Path

from features.definition import Definition
from features.errors import PropensityError, UnavailableError
from features.settings import Settings
from features.system import telemetry
from propensity.console import err

#: how long a server that is ending may keep its port, in seconds
ENDING = 3.0

#: calls that may wait to be taken
BACKLOG = 2_048

#: where workers say how they are, when no port is given
PORTS = range(3001, 3017)


def check(rules: Definition, settings: Settings, host: str) -> None:
    """Look whether a server can be started; what merely does not answer yet is reported, and the server waits for it.

    Raises:
        PropensityError: it cannot.
    """
    from serving.activation.delivery import check_destinations

    check_destinations(rules)
    _topic(settings)
    try:
        _keys(settings, host)
        _models(rules, settings)
        _live_log(rules, settings)
    except UnavailableError as error:
        err.print(f"not ready yet: {error} The server answers 503 until it is.", soft_wrap=True, highlight=False)


def _live_log(rules: Definition, settings: Settings) -> None:
    """Say at once what the server will say at ``/readyz``: it takes events although nothing is made of them."""
    from features.feature_store import OnlineProfiles
    from serving.database.identity import Marks
    from serving.database.identity import check as check_log
    from serving.database.log.live_log import LiveLog

    live = LiveLog.open(rules, settings)
    try:
        check_log(live, Marks.load(rules, settings, OnlineProfiles(rules, settings)).all)
    finally:
        live.close()


def _topic(settings: Settings) -> None:
    """Look whether a topic of Kafka can be opened with these settings; its brokers are not asked."""
    if settings.kafka and settings.worker == "on":
        from serving.ingest.topic.consumer import Topic

        Topic(settings).close()


def free(host: str, port: int) -> None:
    """Look whether a port is free, as `taken` takes it.

    Raises:
        PropensityError: it is not.
    """
    taken(host, port).close()


def taken(host: str, port: int) -> socket.socket:
    """Take a port and listen on it; for a moment it may still be that of a server that is ending.

    Raises:
        PropensityError: it is another program's.
    """
    try:
        ipaddress.ip_address(host)
    except ValueError as error:
        raise PropensityError(f"--host {host!r} is no IP address.", fix="as in --host 127.0.0.1") from error
    until = time.monotonic() + ENDING
    while True:
        try:
            return _bind(host, port)
        except OSError as error:
            if error.errno == errno.EADDRINUSE and time.monotonic() < until:
                time.sleep(0.2)
                continue
            problem = (error.strerror or str(error)).lower()
            raise PropensityError(
                f"cannot listen on {host}:{port}: {problem}.",
                fix="stop the program that listens there, or choose another --port",
            ) from error


def next_free(host: str) -> int:
    """The first port for a worker that is free: several workers may be on one box.

    Raises:
        PropensityError: none is.
    """
    for port in PORTS:
        try:
            _bind(host, port).close()
        except OSError:
            continue
        return port
    raise PropensityError(f"no port of {PORTS[0]} to {PORTS[-1]} is free.", fix="choose one: --port")


def environment(definition: Path | None, port: int) -> dict[str, str]:
    """The environment of a server.

    Args:
        definition: the definition's file, where it is not the environment's.
        port: the server's.
    """
    from serving.process.supervisor import ONE_THREAD

    given = {**telemetry.DEFAULTS, **ONE_THREAD, **os.environ, "PYTHONWARNINGS": "ignore"}
    if definition is not None:
        given["PROPENSITY_DEFINITION"] = str(definition.resolve())
    # the server runs this very program, whatever folders of our names are in the current one
    code = str(Path(__file__).parents[1])
    given["PYTHONPATH"] = os.pathsep.join([code, *filter(None, [given.get("PYTHONPATH")])])
    # BentoML makes folders for what it does not keep here; a full disk under the data must not stop it
    home = Path(tempfile.gettempdir()) / f"propensity-{os.getuid()}" / f"server-{port}"
    given.setdefault("BENTOML_HOME", str(home))
    return given


def _bind(host: str, port: int) -> socket.socket:
    bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
        bound.listen(BACKLOG)  # two programs may bind one port before either listens
    except OSError:
        bound.close()
        raise
    return bound


def _keys(settings: Settings, host: str) -> None:
    from serving.api.middleware import required_keys

    if settings.auth == "off" and host not in ("127.0.0.1", "::1"):
        raise PropensityError(
            f"PROPENSITY_AUTH=off with host {host}.", fix="propensity keys create, or listen on 127.0.0.1"
        )
    if (ring := required_keys(settings)) is not None:
        ring.close()


def _models(rules: Definition, settings: Settings) -> None:
    """Say that nothing is promoted: what needs no model is served all the same. The server says what it refuses."""
    from serving.model.registry.loader import Loader

    loader = Loader(rules, settings)
    if not loader.promoted():
        err.print(
            f"{loader.absence()} States, RFM groups and segments need none; likelihoods "
            "say no_model. Run propensity train; the service loads what it promotes without a restart.",
            soft_wrap=True, highlight=False,
        )  # fmt: skip
