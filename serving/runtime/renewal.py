"""Segments that are published while a process runs: it reads the definition again, and uses them without a restart."""

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from features.definition.columns import feature_set
from features.definition.file.load import load_definition
from features.definition.schema import Definition
from features.errors import PropensityError
from serving.process.logs import in_words
from serving.process.opening import Opening, StartingError

log = logging.getLogger("propensity")

#: seconds between two looks at the files, and until something that could not be opened is tried again
POLL, AGAIN = 2.0, 30.0

#: requests that began with the one before may still use it: none lasts for longer, in seconds
LAST_REQUESTS = 60.0


class Made(Protocol):
    """What is made of a definition."""

    @property
    def definition(self) -> Definition:
        """The definition."""
        ...

    def retire(self) -> None:
        """Fold, find and send nothing any more; requests that have begun are still answered."""
        ...

    def close(self) -> None:
        """Close all that it has opened."""
        ...


Thing = TypeVar("Thing", bound=Made)


class Renewal(Generic[Thing]):
    """Opens something again when the segments of its definition have changed, and nothing else.

    The new one is opened while the old one still answers, and takes its place at once. Whatever else changes in the
    definition waits for a restart: it may need other features, profiles or models.

    Args:
        opening: what is open now.
        make: opens it of a definition.
        after: called when an old one has been closed.
    """

    def __init__(
        self, opening: Opening[Thing], make: Callable[[Definition], Thing], after: Callable[[], None] = lambda: None
    ) -> None:
        self._opening, self._make, self._after = opening, make, after
        self._seen: list[int] | None = None
        self._failed = -AGAIN
        self._retired: list[tuple[float, Thing]] = []

    def watch(self, stopped: threading.Event) -> None:
        """Look until it is stopped, then close what is left of old ones."""
        while not stopped.wait(POLL):
            try:
                self.look()
            except Exception:  # what is open keeps answering
                log.exception("the definition has changed, and the service goes on with what it had")
                self._seen, self._failed = None, time.monotonic()
        self._close_retired(0)

    def look(self) -> bool:
        """Look once; returns whether a new one answers now."""
        self._close_retired(LAST_REQUESTS)
        try:
            now = self._opening.get()
        except StartingError:
            return False
        found = written(now.definition)
        if found == self._seen or time.monotonic() - self._failed < AGAIN:
            return False
        self._seen = found
        definition = _read_again(now.definition)
        if definition is None:
            return False
        old = self._opening.replace(self._make(definition))
        old.retire()
        self._retired.append((time.monotonic(), old))
        log.info("segments were published: %s is served now", definition.version)
        return True

    def _close_retired(self, seconds: float) -> None:
        now = time.monotonic()
        for at, thing in [one for one in self._retired if now - one[0] >= seconds]:
            self._retired.remove((at, thing))
            thing.close()
            self._after()


def written(definition: Definition) -> list[int]:
    """When each file of a definition was written last; 0 of one that is not there."""
    files = [definition.file, *([definition.include_file] if definition.include_file is not None else [])]
    return [_written(file) for file in files]


def _written(file: Path) -> int:
    try:
        return file.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def _read_again(served: Definition) -> Definition | None:
    """The definition as it is now, where its segments are others and all else is as it was."""
    try:
        found = load_definition(served.file)
    except PropensityError as error:
        log.warning("the definition has changed and cannot be used; %s stays: %s", served.version, in_words(error))
        return None
    if found.version == served.version:
        return None
    if _beside_segments(found) != _beside_segments(served):
        log.warning("more than segments has changed in the definition: restart to use it; %s stays", served.version)
        return None
    return found


def _beside_segments(definition: Definition) -> object:
    return definition.model_dump(exclude={"segments"}), feature_set(definition).digest
