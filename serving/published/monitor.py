"""The published findings of the monitor, as far as the service reads ``monitor.json``."""

from datetime import date
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

#: the file in the monitoring folder
NAME = "monitor.json"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class PublishedFinding(_Part):
    """A finding.

    Attributes:
        outcome: what it is about: an outcome, or ``scores``, ``profiles``, ``segments.NAME``, ``destinations.NAME``.
        name: such as ``level_moved``.
        alarm: true for an alarm, false for a note.
        words: what was seen.
    """

    outcome: str
    name: str
    alarm: bool
    words: str


class Level(_Part):
    """Observed against expected outcomes.

    Attributes:
        ratio: observed over expected; None where nothing was expected.
    """

    ratio: float | None


class Batch(_Part):
    """A batch of predictions that has matured.

    Attributes:
        at: the day of the batch.
    """

    at: date


class OfOutcome(_Part):
    """An outcome.

    Attributes:
        level: of all matured predictions of the newest model version; None before the first.
        batches: the matured batches, the oldest first.
    """

    level: Level | None = None
    batches: list[Batch] = Field(default_factory=list)


class PublishedMonitor(_Part):
    """What the monitor published last.

    Attributes:
        findings: all of them.
        outcomes: by name.
    """

    findings: list[PublishedFinding]
    outcomes: dict[str, OfOutcome]

    @classmethod
    def read(cls, file: Path) -> "PublishedMonitor":
        """Read a file.

        Raises:
            OSError: it cannot be read.
            ValueError: it is damaged.
        """
        return cls.model_validate_json(file.read_bytes())
