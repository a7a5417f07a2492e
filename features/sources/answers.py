"""What goes wrong at a source, in words and without secrets; and its address, with what the environment says."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import parse_qsl, unquote, urlsplit

from features.errors import EventLogError, PropensityError, UnavailableError


@contextmanager
def answering(
    place: str, url: str, *, extra: str = "", errors: tuple[type[Exception], ...] = (Exception,)
) -> Iterator[None]:
    """Give errors of drivers and libraries, each of which has its own, as ours.

    Args:
        place: where the source stands in the definition.
        url: its address, with its secrets.
        extra: what is installed with the programs that read it.
        errors: those that mean that it cannot be read.

    Raises:
        UnavailableError: it cannot be read.
        PropensityError: what reads it is not installed.
    """
    try:
        yield
    except (PropensityError, GeneratorExit):
        raise
    except ImportError as error:
        raise PropensityError(
            f"what reads {place} is not installed: {error.name or error}.", fix=f"pip install 'propensity[{extra}]'"
        ) from None
    except errors as error:
        reason = without_secrets(f"{type(error).__name__} {str(error).strip()}".splitlines()[0], url)
        raise UnavailableError(
            f"{place} cannot be read: {reason[:300]}.",
            fix="check the address, the names and the rights, or wait until it answers; what was fetched is kept",
        ) from None


def expanded(url: str) -> str:
    """An address with what the environment says.

    Raises:
        EventLogError: a variable is not set.
    """
    found = os.path.expandvars(url)
    if missing := re.search(r"\$\{?(\w+)", found):
        raise EventLogError(f"{missing[1]} is not set in the environment.", fix=f"set it: {url} needs it")
    return found


def without_secrets(message: str, url: str) -> str:
    """A message without whatever of an address may be a secret."""
    parts = urlsplit(url)
    values = [value for _, value in parse_qsl(parts.query)]
    for secret in (url, parts.netloc.rpartition("@")[0], parts.password, parts.username, *values):
        if secret:
            message = message.replace(secret, "***").replace(unquote(secret), "***")
    return message
