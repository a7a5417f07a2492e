"""What the event log has besides its own files: what was compacted out of the live log, and who was erased since."""

import re
from datetime import UTC
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr

from features.definition.schema import Definition
from features.errors import EventLogError
from features.events.tombstones import NOBODY, Tombstones
from features.system.files.durable import write_durably
from features.system.files.kept_files import sealed, unsealed
from features.time import to_instant

NAME = "manifest.json"


class Compacted(BaseModel):
    """The files a live log has been compacted into, one complete state of them.

    Attributes:
        log: the id of that live log; empty where an older version wrote this.
        position: all of the live log through this position is in them.
        earlier: through which positions live logs are in them that had the place of this one before, by their ids.
        through: and so is all that had arrived through this instant.
        events: Parquet files with the event log's columns.
        traits: Parquet files ``user``, ``known`` and the traits' fields, as text.
        merges: Parquet files of what messages say of ids that are one person's (`features.identities.merges.MERGES`).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    log: str = ""
    position: int = 0
    earlier: dict[str, int] = {}
    through: int = 0
    events: tuple[str, ...] = ()
    traits: tuple[str, ...] = ()
    merges: tuple[str, ...] = Field(default=(), exclude_if=lambda files: not files)

    _folder: Path = PrivateAttr(default=Path())
    _erased: Tombstones = PrivateAttr(default=NOBODY)

    @classmethod
    def load(cls, folder: Path) -> "Compacted":
        """The state of a folder; an empty one where nothing was ever compacted.

        Raises:
            EventLogError: the file that names the others is none.
        """
        path = folder / NAME
        try:
            state = cls.model_validate_json(unsealed(path.read_bytes())) if path.exists() else cls()
        except ValueError as error:
            raise EventLogError(
                f"{path} does not name compacted files: {str(error).splitlines()[0]}.",
                fix="restore it from a backup: it says which live events are in the files beside it",
            ) from error
        state._folder = folder
        # beside each other in the definition's folder (`Settings.live`, `Settings.events`)
        state._erased = Tombstones.load(folder.with_name("events"))
        return state

    def of_log(self, log: str) -> "Compacted":
        """This state, from which on positions are those of a log of another id."""
        if log == self.log:
            return self
        earlier = self.earlier | ({self.log: self.position} if self.log else {})
        return self.model_copy(update={"log": log, "earlier": earlier})

    def save(self, folder: Path) -> "Compacted":
        """Switch a folder to this state; the files are there already."""
        write_durably(folder / NAME, sealed(self.model_dump_json()))
        return self.load(folder)

    @property
    def erased(self) -> Tombstones:
        """Whose events and attributes nobody reads any more, whichever file holds them."""
        return self._erased

    @property
    def event_files(self) -> list[Path]:
        """The files of events, oldest first."""
        return self._files(self.events)

    @property
    def trait_files(self) -> list[Path]:
        """The files of traits, oldest first."""
        return self._files(self.traits)

    @property
    def merge_files(self) -> list[Path]:
        """The files of merges, oldest first."""
        return self._files(self.merges)

    def _files(self, names: tuple[str, ...]) -> list[Path]:
        return [self._folder / name for name in names]


def is_compacted(path: str) -> bool:
    """Whether a file that was taken into the event store came out of a live log, wherever its home was then."""
    return re.search(r"(^|/)live/events-\d+-\d+\.parquet$", path) is not None


#: for a log without a live path
NONE = Compacted()


def declared_end(definition: Definition, ends: int | None, live: Compacted) -> int | None:
    """Through when a log is complete: as given, or as the definition declares (UTC where it has no zone).

    Where the live log goes on from what is declared, it is complete through what was compacted.
    """
    declared = definition.events.ends
    if ends is not None or declared is None:
        return ends
    return max(to_instant(declared if declared.tzinfo else declared.replace(tzinfo=UTC)), live.through)
