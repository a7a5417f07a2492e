"""What a provider of OpenID Connect answers, and what goes wrong with that."""

import json
import logging
import re
import time
from collections.abc import Mapping
from typing import Any, NoReturn

import httpx

log = logging.getLogger("propensity")

#: seconds: for each step of a request, and for all of one
STEP, WHOLE = 5.0, 10.0

#: bytes of an answer
MOST = 1_000_000


class TroubleError(Exception):
    """Signing in at the provider does not go on.

    Args:
        key: of the words that say why.
        status: of HTTP.
        part: the key of words that are put into them as ``what``; or else ``what`` itself.
        values: what is put into the words of ``part``.
    """

    def __init__(self, key: str, status: int, part: str = "", what: str = "", **values: str) -> None:
        super().__init__(" ".join([key, part, what, *values.values()]))
        self.key, self.status, self.part, self.what, self.values = key, status, part, what, values


def error_name(given: object) -> str:
    """The name of an error that a provider gives, where it is a name."""
    return given if isinstance(given, str) and re.fullmatch(r"[a-z_]{1,60}", given) else "error"


def ask(
    method: str, address: str, part: str, form: Mapping[str, str] | None = None, auth: httpx.Auth | None = None
) -> dict[str, Any]:
    """The JSON object that the provider answers with; no redirects are followed.

    Args:
        method: of HTTP.
        address: where.
        part: the key of words for which answer it is.
        form: what is sent.
        auth: who we are.

    Raises:
        TroubleError: it is away, refuses, or answers something else.
    """
    ends, body = time.monotonic() + WHOLE, b""
    headers = {"accept": "application/json", "accept-encoding": "identity"}
    try:
        with httpx.stream(method, address, data=form, auth=auth, headers=headers, timeout=STEP) as answer:
            for some in answer.iter_bytes():
                body += some
                if len(body) > MOST:
                    nonsense(part)
                if time.monotonic() > ends:
                    raise httpx.ReadTimeout(f"no answer within {WHOLE:g} seconds")
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        log.warning("the provider of OpenID Connect is away: %s at %s", type(error).__name__, address)
        raise TroubleError("oidc.away", 503) from error
    if answer.status_code >= 500:
        log.warning("the provider of OpenID Connect answers with %d at %s", answer.status_code, address)
        raise TroubleError("oidc.away", 503)
    try:
        found = json.loads(body)
    except ValueError:
        found = None
    if answer.status_code in (400, 401) and form is not None:
        raise TroubleError("oidc.code", 403, what=error_name(found.get("error") if isinstance(found, dict) else None))
    if answer.status_code != 200 or not isinstance(found, dict):
        nonsense(part)
    return found


def nonsense(part: str) -> NoReturn:
    """Say that an answer cannot be used.

    Args:
        part: the key of words for which answer it is.

    Raises:
        TroubleError: always.
    """
    raise TroubleError("oidc.nonsense", 503, part)
