"""Structured logs: one JSON object a line; never a secret, and of users only counts and positions in the live log."""

import logging

from pythonjsonlogger.json import JsonFormatter


def write_json() -> None:
    """Write what the service says as JSON to standard error."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter("{asctime}{levelname}{name}{message}", style="{", timestamp=True))
    logger = logging.getLogger("propensity")
    logger.handlers = [handler]
    logger.setLevel(logging.INFO)
    logger.propagate = False


def quiet() -> None:
    """Keep libraries from writing what callers sent: BentoML does, with a traceback, for each request it refuses."""
    logging.getLogger("bentoml._internal.server.http_app").setLevel(logging.CRITICAL)
