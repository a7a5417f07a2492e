"""How long work tells people how far it is."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol

Progress = Callable[[int], None]
"""Called with how much has been done since the last call."""


def ignore(_: int) -> None:
    """Report progress to nobody."""


class Steps(Protocol):
    """Shows people how far a job is."""

    def __call__(self, label: str, total: int | None = None) -> AbstractContextManager[Progress]:
        """Open a step; the progress it yields is told how much more is done."""
        ...
