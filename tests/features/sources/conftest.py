"""A real PostgreSQL for tests of sources."""

from tests.serving.conftest import postgres, postgres_server

__all__ = ["postgres", "postgres_server"]
