"""The paths there are: their templates for the metrics, and the methods and query keys they take."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

#: the label of every request that asked for nothing there is, or showed no key
OTHER = "other"


@dataclass(frozen=True, slots=True)
class Path:
    """A path of the API.

    Attributes:
        template: as the documentation writes it.
        pattern: which paths it is.
        methods: what may be done there.
        query: the query's keys; None takes any.
    """

    template: str
    pattern: re.Pattern[str]
    methods: frozenset[str]
    query: frozenset[str] | None

    @classmethod
    def fixed(cls, path: str, *methods: str) -> "Path":
        """A path without parameters, whose query nobody reads."""
        return cls(path, re.compile(f"^{re.escape(path)}$"), frozenset(methods), None)


class Paths:
    """Finds paths.

    Args:
        paths: all there are; the first that fits counts.
    """

    def __init__(self, paths: Iterable[Path]) -> None:
        self._paths = list(paths)

    def find(self, path: str) -> list[Path]:
        """The paths that fit, one for each way of asking; none where there is nothing."""
        return [known for known in self._paths if known.pattern.match(path)]
