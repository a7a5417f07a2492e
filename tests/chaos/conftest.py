"""Worlds and servers that are killed, filled, damaged and restored."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.parts import Site
from tests.conftest import World
from tests.serving.conftest import copy_of


@pytest.fixture
def own(world: World, tmp_path: Path) -> World:
    """A trained world that a test may break."""
    return copy_of(world, tmp_path / "world")


@pytest.fixture
def site(own: World, tmp_path: Path) -> Iterator[Site]:
    """A running service on one machine."""
    with Site(own, tmp_path) as running:
        yield running


@pytest.fixture
def large_site(own: World, tmp_path: Path) -> Iterator[Site]:
    """A service, a worker, PostgreSQL and Redis."""
    with Site(own, tmp_path, stores=True, worker=True) as running:
        yield running
