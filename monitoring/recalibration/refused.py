"""Recalibrations that were not promoted, so that a night does not make the same one again."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import polars as pl
from pydantic import TypeAdapter

from features.definition.schema import Definition
from features.settings import Settings
from features.system.files.durable import new_folder, write_durably
from features.system.files.kept_files import reading
from features.time import DAY, day_of
from monitoring.matured import kept

#: where they are kept, beside the tables of the monitor
NAME = "recalibrations.json"

#: the same proposal is worth another try with so many more matured users, as a share, or after so long
MORE, LATER = 0.1, 7 * DAY


@dataclass(frozen=True, slots=True)
class Refused:
    """A recalibration that was not promoted.

    Attributes:
        version: the champion it was to replace, as ``churn/4``.
        rows: matured predictions of untreated users of that version that there were then.
        at: the end of the log then.
    """

    version: str
    rows: int
    at: int

    def waits(self, now: Self) -> str:
        """Why it is not tried again; empty where it is.

        Args:
            now: what would be tried now.
        """
        if now.version != self.version or now.rows >= self.rows * (1 + MORE) or now.at - self.at >= LATER:
            return ""
        return (
            f"a recalibration of {self.version} was not promoted on {day_of(self.at)}; it is tried again with "
            f"{MORE:.0%} more matured users ({now.rows:,} now, {self.rows:,} then), or on {day_of(self.at + LATER)}"
        )


_CONTENT = TypeAdapter(dict[str, Refused])


class Refusals:
    """The newest refused recalibration of each outcome.

    Args:
        definition: the definition.
        settings: where things are kept.
    """

    def __init__(self, definition: Definition, settings: Settings) -> None:
        self._definition, self._settings = definition, settings
        self._file: Path = settings.monitoring(definition.name) / NAME

    def now(self, outcome: str, version: str, at: int) -> Refused:
        """What would be tried now.

        Args:
            outcome: which.
            version: its champion.
            at: the end of the log.
        """
        rows = kept(self._definition, self._settings, outcome, 0, at)
        return Refused(version, len(rows.filter((pl.col("version") == version) & (pl.col("weight") > 0))), at)

    def waits(self, outcome: str, version: str, at: int) -> str:
        """Why an outcome is not recalibrated again; empty where it is. The arguments are those of `now`."""
        before = self._kept().get(outcome)
        return before.waits(self.now(outcome, version, at)) if before is not None else ""

    def keep(self, outcome: str, refused: Refused | None) -> None:
        """Keep what was refused; None where one was promoted."""
        found = self._kept()
        found.pop(outcome, None)
        if refused is not None:
            found[outcome] = refused
        new_folder(self._file.parent)
        content = {name: asdict(one) for name, one in found.items()}
        write_durably(self._file, json.dumps(content, indent=1).encode())

    def _kept(self) -> dict[str, Refused]:
        if not self._file.exists():
            return {}
        with reading(self._file, fix=f"remove {self._file}; what was refused is tried once more"):
            return _CONTENT.validate_json(self._file.read_bytes())
