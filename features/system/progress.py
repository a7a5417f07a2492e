"""How long work tells people how far it is."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

Progress = Callable[[int], None]
"""Called with how much has been done since the last call."""


def ignore(_: int) -> None:
    """Report progress to nobody."""


@contextmanager
def unseen(label: str, total: int | None = None) -> Iterator[Progress]:
    """Open a step without showing it."""
    yield ignore


class Steps(Protocol):
    """Shows people how far a job is."""

    def __call__(self, label: str, total: int | None = None) -> AbstractContextManager[Progress]:
        """Open a step; the progress it yields gets how much more is done."""
        ...
