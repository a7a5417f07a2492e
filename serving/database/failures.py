"""What databases say when they do not do what they are asked, in one place and in words."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa

from features.errors import DatabaseError, PropensityError, StoreError, UnavailableError

#: SQLSTATE of PostgreSQL: a right is missing; a table or column is missing
_NO_RIGHT, _NOT_THERE = "42501", ("42P01", "42703", "3F000")


@contextmanager
def reached(user: str | None = None) -> Iterator[None]:
    """Turn whatever a database or its driver raises into one of our errors.

    Args:
        user: the role that asks, named when it lacks a right.

    Raises:
        UnavailableError: it does not answer now.
        DatabaseError: it is damaged, or lacks a table, a column or a right.
        StoreError: it cannot hold what it was given.
    """
    try:
        yield
    except sa.exc.ArgumentError:
        raise  # the address is at fault
    except sa.exc.DBAPIError as error:
        raise _described(error.orig or error, error, user) from error
    except (sa.exc.SQLAlchemyError, sqlite3.Error, OSError) as error:
        raise _described(error, error, user) from error


def _described(cause: BaseException, error: BaseException, user: str | None) -> PropensityError:
    words = (str(cause).splitlines() or [type(cause).__name__])[0].strip().rstrip(".")
    state = getattr(cause, "sqlstate", None)
    if state == _NO_RIGHT:
        return DatabaseError(
            f"the live log's database does not let {user or 'us'} do it: {words}.", fix=_grant(words, user)
        )
    if state in _NOT_THERE:
        return DatabaseError(
            f"the live log's database lacks something: {words}.",
            fix="restart the programs, which create the tables; if the error stays, restore the database from a backup",
        )
    if isinstance(error, sa.exc.DataError | sa.exc.IntegrityError):
        return StoreError(f"the live log's database cannot hold this: {words}.", fix="correct what was sent")
    if _damaged(cause):
        return DatabaseError(
            f"the live log's database is damaged: {words}.",
            fix="stop its programs, restore it from a backup (propensity restore), and run propensity adopt",
        )
    if isinstance(cause, OSError) or "readonly" in words:
        return DatabaseError(
            f"the live log's database cannot be written: {words}.",
            fix="let this user write to the folder and file, on a disk that is not mounted read-only",
        )
    return UnavailableError(f"the live log does not answer: {words}.", fix="send the same again a moment later")


def _damaged(cause: BaseException) -> bool:
    """SQLite's own class for a file that is none of its own, or is broken; locked and full ones are another."""
    if isinstance(cause, sqlite3.OperationalError):
        return "malformed" in str(cause)
    return type(cause) is sqlite3.DatabaseError


def _grant(words: str, user: str | None) -> str:
    """The statements that give what is missing; who owns the database runs them."""
    role = f'"{user}"' if user else "the role"
    if "schema" in words:
        return f"as the database's owner: GRANT USAGE, CREATE ON SCHEMA public TO {role}"
    if "database" in words:
        return f"as the database's owner: GRANT CONNECT ON DATABASE … TO {role}"
    return (
        f"as the tables' owner: GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role}; "
        f"GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO {role}"
    )
