"""Structured logs: one JSON object a line; never a secret, and of users only counts and positions in the live log."""

import logging
import traceback
from types import TracebackType

from pythonjsonlogger.json import JsonFormatter

from features.errors import PropensityError

#: how many calls of a traceback are logged
DEEP = 8


def in_words(error: BaseException) -> str:
    """Say an error in a line: ours in its words, any other by its type, since its words may hold anything."""
    return str(error) if isinstance(error, PropensityError) else type(error).__name__


def without_words(error: BaseException | None) -> str:
    """Where an error and its causes were raised, the first cause first, without what they say.

    The words of an unexpected exception may hold a user's id, an event or a password.
    """
    chain: list[BaseException] = []
    while error is not None and error not in chain:
        chain.append(error)
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    parts = ("".join(traceback.format_tb(one.__traceback__)[-DEEP:]) + type(one).__name__ for one in reversed(chain))
    return "\nwhich led to:\n".join(parts)


class _Formatter(JsonFormatter):
    """JSON in which no exception speaks."""

    def formatException(  # noqa: N802 - the name is logging's
        self,
        ei: tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None],
    ) -> str:
        return without_words(ei[1])


def formatter() -> logging.Formatter:
    """How the service and its workers write a record."""
    return _Formatter("{asctime}{levelname}{name}{message}", style="{", timestamp=True)


def write_json() -> None:
    """Write what the service says as JSON to standard error."""
    handler = logging.StreamHandler()
    handler.setFormatter(formatter())
    for name in list(logging.root.manager.loggerDict):
        if name.startswith("propensity."):
            logging.getLogger(name).handlers = []  # what a command shows a person
    logger = logging.getLogger("propensity")
    logger.handlers = [handler]
    logger.setLevel(logging.INFO)
    logger.propagate = False


def quiet() -> None:
    """Keep libraries from writing what callers sent: BentoML does, with a traceback, for each request it refuses."""
    logging.getLogger("bentoml._internal.server.http_app").setLevel(logging.CRITICAL)
