"""Findings of the monitor: what is wrong, in words, and what to do about it."""

from dataclasses import dataclass
from typing import Literal

from features.time import day_of
from monitoring.realised import Realised
from monitoring.today.covariate_shift import CovariateShift

Name = Literal[
    "level_moved", "ranking_worse", "users_changed", "batch_missing", "profiles_old", "segment_jumped",
    "destination_stuck",
]  # fmt: skip

#: where predictions come from: batches of scores, or the service
BATCH, LIVE = "batch", "live"

#: the findings that another training mends
OF_MODELS: tuple[Name, ...] = ("level_moved", "ranking_worse")


#: what to do where the service's answers are wrong
_LOOK = (
    "look whether batches are wrong in the same way, and mend the model as they say; if they are right, look at how "
    "fresh the profiles are, and at who is asked for"
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding.

    Attributes:
        outcome: of which outcome; or ``scores``, ``profiles``, ``segments.NAME`` or ``destinations.NAME``.
        name: ``level_moved``, ``ranking_worse`` or ``users_changed`` of an outcome, else ``batch_missing``,
            ``profiles_old``, ``segment_jumped`` or ``destination_stuck``.
        alarm: true for an alarm; false for a note.
        words: what was seen.
        action: what to do.
        version: the model version that it is about; empty of a note about users.
        source: ``batch``, or ``live`` where it was seen on answers of the service.
    """

    outcome: str
    name: Name
    alarm: bool
    words: str
    action: str
    version: str = ""
    source: str = BATCH

    @property
    def key(self) -> str:
        """What tells a finding from others, whatever its numbers are."""
        return " ".join([self.version or self.outcome, self.name, *([LIVE] if self.source == LIVE else [])])


def findings(outcome: str, found: Realised, shift: CovariateShift | None, *, source: str = BATCH) -> list[Finding]:
    """Name what is wrong with an outcome's answers.

    Args:
        outcome: its name.
        found: what came true.
        shift: how far today's users are from those the model was fitted on; None where that is not known.
        source: which predictions came true: those of batches, or the service's answers.
    """
    made, version = [], str(found.batches["version"][-1]) if len(found.batches) else ""
    of = "of the service's answers: " if source == LIVE else ""
    if (at := found.alarms.get("ranking")) is not None and found.line is not None:
        words = (
            f"since {day_of(at)}, {outcome} ranks users worse than its probabilities claim: the calibration slope is "
            f"{found.line.slope:.2f}, where 1 is right"
        )
        action = _LOOK if source == LIVE else "train again: propensity train"
        made.append(Finding(outcome, "ranking_worse", True, of + words, action, version, source))
    if (at := found.alarms.get("level")) is not None and found.level is not None:
        more = "more" if found.level.ratio > 1 else "less"
        words = (
            f"since {day_of(at)}, {outcome} happens {more} often than predicted: {found.level.observed:,.0f} observed, "
            f"{found.level.expected:,.0f} expected, a ratio of {found.level.ratio:.2f} ({found.level.low:.2f} to "
            f"{found.level.high:.2f})"
        )
        recalibrate = f"recalibrate: propensity recalibrate {outcome}; the order of users stays"
        action = _LOOK if source == LIVE else recalibrate
        made.append(Finding(outcome, "level_moved", True, of + words, action, version, source))
    if shift is not None and shift.changed:
        columns = ", ".join(shift.columns)
        usual = f" ({shift.usual:.2f} is usual)" if shift.usual is not None else ""
        words = (
            f"today's users differ from those {outcome} was fitted on: a classifier tells them apart with an AUC of "
            f"{shift.auc:.2f}{usual}; the columns that moved most are {columns}"
        )
        action = "look at where these users come from, and at these columns in the log"
        made.append(Finding(outcome, "users_changed", False, words, action))
    return made
