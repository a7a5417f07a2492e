"""The published findings of the monitor, as far as the service reads ``monitor.json``."""

from datetime import date
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from serving.published.shape import read

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
        action: what to do.
    """

    outcome: str
    name: str
    alarm: bool
    words: str
    action: str = ""


class Level(_Part):
    """Observed against expected outcomes.

    Attributes:
        ratio: observed over expected; None where nothing was expected.
        observed: outcomes that happened.
        expected: the sum of the probabilities.
        low: lower end of the ratio's interval.
        high: upper end of it.
    """

    ratio: float | None
    observed: float | None = None
    expected: float | None = None
    low: float | None = None
    high: float | None = None


class Group(Level):
    """A group of users.

    Attributes:
        by: what groups them, such as ``tier``.
        group: which of the groups.
        users: how many were compared.
    """

    by: str
    group: str
    users: int

    @property
    def beyond(self) -> float:
        """How far the interval lies from 1; below 0 where 1 is inside."""
        if self.low is None or self.high is None:
            return -1.0
        return max(self.low - 1, 1 - self.high)


class Batch(Level):
    """A batch of predictions that has matured.

    Attributes:
        at: the day of the batch.
        version: of the model.
        users: how many were compared.
    """

    at: date
    ratio: float | None = None
    version: str = ""
    users: int = 0


class OfOutcome(_Part):
    """An outcome.

    Attributes:
        level: of all matured predictions of the newest model version; None before the first.
        batches: the matured batches, the oldest first.
        groups: of the newest version.
        matured: how many predictions have matured.
    """

    level: Level | None = None
    batches: list[Batch] = Field(default_factory=list)
    groups: list[Group] = Field(default_factory=list)
    matured: int = 0


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


_FILE = TypeAdapter(PublishedMonitor)


def monitor_published(folder: Path) -> PublishedMonitor | None:
    """What the monitor published last; None before the first time.

    Args:
        folder: the monitoring folder.

    Raises:
        StoreError: the file is damaged.
    """
    return read(folder / NAME, _FILE, writer="propensity monitor")
