"""The one shape of every answer that is not the one asked for: what is wrong, its code, and what to do."""

import difflib
import json
import logging
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from features.errors import PropensityError, UnavailableError
from features.wrong_values import wrong
from serving.process.logs import without_words

log = logging.getLogger("propensity")

#: what a caller should wait before the same request, in seconds
RETRY_AFTER = 1

#: code and fix by status, where the answer has none
USUAL = {
    400: ("bad_request", "see the API page at /"),
    401: ("unauthorized", "send a key as 'Authorization: Bearer KEY'"),
    403: ("forbidden", "use a key whose role may do this"),
    404: ("not_found", "see the API page at / for what there is"),
    405: ("method_not_allowed", "use a method that the header Allow names"),
    408: ("too_slow", "send the request without pauses"),
    413: ("too_large", "send less at once"),
    415: ("unsupported_media_type", "send application/json"),
    422: ("invalid", "see the API page at /"),
    429: ("rate_limited", "wait as long as the header Retry-After says"),
    500: ("internal", "see the service's log, and report what it says"),
    503: ("unavailable", "ask again in a moment"),
    504: ("timeout", "ask for less at once, or again later"),
}

#: where a driver's error means that its server, file or disk is away
_DRIVERS = ("sqlalchemy", "sqlite3", "redis", "psycopg", "mlflow", "feast")


class Problem(BaseModel):
    """Every answer with a status of 400 and more.

    Attributes:
        error: what is wrong, in words.
        code: a stable name; see the error codes.
        fix: what to do about it.
    """

    error: str
    code: str
    fix: str


class RefusedError(PropensityError):
    """A request that cannot be answered.

    Args:
        message: what is wrong with it.
        fix: what to do.
        status: what HTTP says to it.
        code: a stable name; the status's usual one when left out.
    """

    def __init__(self, message: str, *, fix: str = "", status: int = 400, code: str | None = None) -> None:
        usual, remedy = USUAL[status]
        super().__init__(message, fix=fix or remedy, code=code or usual)
        self.status = status


def status_of(error: Exception) -> int:
    """What HTTP says to an error: the request's fault, or something that is away."""
    if isinstance(error, UnavailableError) or not isinstance(error, PropensityError):
        away = isinstance(error, UnavailableError | sqlite3.Error | OSError)
        return 503 if away or type(error).__module__.partition(".")[0] in _DRIVERS else 500
    return int(getattr(error, "status", 400))


def problem_of(error: Exception) -> dict[str, str]:
    """Describe an error; of an unexpected one only its type is shown, and it goes to the log."""
    status = status_of(error)
    code, fix = USUAL.get(status, USUAL[500])
    if isinstance(error, PropensityError):
        return problem(error.message, error.code, error.fix or fix)
    where = without_words(error) if status == 500 else "what is needed is away"
    log.error("a request failed: %s: %s", type(error).__name__, where)
    text = "something that is needed does not answer" if status == 503 else "an unexpected error"
    return problem(f"{text} ({type(error).__name__}).", code, fix)


def problem(error: str, code: str, fix: str) -> dict[str, str]:
    """Put the three together."""
    return {"error": error, "code": code, "fix": fix}


def invalid(errors: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """What pydantic found: where, and what is wrong, with what to do; neither values nor addresses."""
    texts, fixes = [], []
    for one in errors:
        where = ".".join(str(part) for part in one.get("loc", ()) if part not in ("body", "query", "path"))
        message, _, fix = wrong(one).partition(" Fix: ")
        texts.append(f"{where}: {message}" if where else message)
        fixes += [fix] if fix else []
    more = f"; and {len(texts) - 3:,} more" if len(texts) > 3 else ""
    remedy = fixes[0] if fixes else "correct what is named; the API page at / says what each call takes"
    return problem("; ".join(texts[:3]) + more, "invalid", remedy)


def unknown_in_words(unknown: Sequence[str], known: Iterable[str]) -> str:
    """Name keys that nobody knows, with the nearest known names."""
    there = sorted(known)
    near = difflib.get_close_matches(unknown[0], there, 1)
    which = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(there) or 'none'}"
    return f"unknown key {unknown[0][:60]!r}; {which}"


def translated(status: int, body: bytes) -> dict[str, Any]:
    """Bring whatever was answered with an error's status into the one shape; what else it says stays."""
    try:
        content = json.loads(body)
    except ValueError:
        content = body.decode("utf-8", "replace").strip()[:200]
    code, fix = USUAL.get(status, USUAL[500 if status >= 500 else 400])
    if isinstance(content, list) and len(content) == 1:
        content = content[0]
    if isinstance(content, dict) and content.keys() >= {"error", "code", "fix"}:
        return content
    if not isinstance(content, dict):
        return problem(str(content) or code, code, fix)
    detail = content.get("detail")
    if isinstance(detail, list):
        return invalid(detail)
    return problem(str(content.get("error") or detail or code), str(content.get("code", code)), fix)
