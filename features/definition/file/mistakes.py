"""Mistakes of a definition, reported together: nobody should correct a file one error at a time."""

from collections.abc import Iterator
from contextlib import contextmanager

from features.errors import DefinitionError

#: so many mistakes are reported at once
MOST = 8


class Mistakes:
    """Gathers mistakes."""

    def __init__(self) -> None:
        self._found: dict[str, DefinitionError] = {}

    @contextmanager
    def gathered(self) -> Iterator[None]:
        """Keep what a check finds, and go on after it."""
        try:
            yield
        except DefinitionError as error:
            self._found.setdefault(str(error), error)

    def tell(self) -> None:
        """End when anything was found.

        Raises:
            DefinitionError: the one mistake, or all of them, a line each.
        """
        found = list(self._found.values())
        if not found:
            return
        if len(found) == 1:
            raise found[0]
        lines = [f"  {error.message} ({error.fix})" if error.fix else f"  {error.message}" for error in found[:MOST]]
        more = [f"  and {len(found) - MOST} more"] if len(found) > MOST else []
        raise DefinitionError("\n".join([f"{len(found)} mistakes:", *lines, *more]), fix="correct each of them")
