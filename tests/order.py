"""The order of tests, and which of them one process runs."""

from collections import Counter

import pytest


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put the tests that are left by then, after ``-m`` and ``-k``, in order, and groups together."""
    items[:] = arranged(items)
    if config.getoption("loadgroup", False):
        name_groups(items)


def arranged(items: list[pytest.Item]) -> list[pytest.Item]:
    """Long tests first, groups before others, so that no process is left with one of them at the end.

    One unit that needs the trained world comes first, then those that do not: while one process trains it, the other
    need not wait.
    """
    sizes = Counter(_unit(item) for item in items)
    long = {_unit(item) for item in items if any(item.get_closest_marker(name) for name in ("long", "chaos"))}
    trained = {_unit(item) for item in items if "world" in getattr(item, "fixturenames", ())}
    first = max((long or set(sizes)) & trained, key=lambda unit: (sizes[unit], unit), default="")

    def place(item: pytest.Item) -> tuple[bool, bool, bool, int]:
        unit = _unit(item)
        return unit != first, unit not in long, unit in trained, -sizes[unit]

    return sorted(items, key=place)


def name_groups(items: list[pytest.Item]) -> None:
    """Write each test's ``xdist_group`` into its id, from where pytest-xdist reads it.

    pytest-xdist 3.8 writes it where pytest 9.2 does not look, so that groups were torn apart.
    """
    for item in items:
        group = item.get_closest_marker("xdist_group")
        if group and not item.nodeid.endswith(suffix := f"@{group.args[0]}"):
            item._id = type(item._id).parse(item.nodeid + suffix)  # type: ignore[attr-defined]


def _unit(item: pytest.Item) -> str:
    """What one process runs: a group of tests, or a test."""
    group = item.get_closest_marker("xdist_group")
    return str(group.args[0]) if group else item.nodeid
