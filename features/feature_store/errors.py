"""Errors of the online store and its registry, as ours."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

import features.system.in_memory  # noqa: F401

import redis
from feast.errors import FeatureViewNotFoundException
from google.protobuf.message import DecodeError

from features.errors import DatabaseError, StoreError, UnavailableError


@contextmanager
def store_errors() -> Iterator[None]:
    """Turn whatever a store or its registry raises into one of our errors."""
    try:
        yield
    except (redis.RedisError, sqlite3.OperationalError) as error:
        if isinstance(error, sqlite3.OperationalError) and "malformed" in str(error):
            raise _damaged(error) from error
        raise UnavailableError(f"the online store does not answer: {error}.", fix="start it, and ask again") from error
    except (sqlite3.Error, DecodeError) as error:
        raise _damaged(error) from error
    except FeatureViewNotFoundException as error:
        raise StoreError("the online store was never filled.", fix="run propensity materialize") from error
    except OSError as error:
        raise DatabaseError(
            f"the online store's files cannot be used: {error}.",
            fix="let this user read and write PROPENSITY_HOME, on a disk that is not mounted read-only",
        ) from error


def _damaged(error: Exception) -> DatabaseError:
    what = "registry.db" if isinstance(error, DecodeError) else "online.db"
    return DatabaseError(
        f"the online store's {what} is damaged: {error}.",
        fix=f"stop its programs, remove {what} under PROPENSITY_HOME/<name>, and run propensity materialize, "
        "which writes it again from the kept profiles",
    )
