"""The ids of a store that were merged with others: who is who, and the rows of these ids."""

from contextlib import AbstractContextManager
from pathlib import Path

import polars as pl

from features.definition.schema import Definition
from features.event_store.manifest import Manifest
from features.event_store.merged.gather import Gathered, gathered
from features.event_store.merged.pairs import kept_merges
from features.event_store.part_files import PartFiles
from features.events.compacted import Compacted
from features.events.tombstones import Tombstones
from features.identities.merges import reported
from features.identities.people import NOBODY_MERGED, People


def reported_merges(
    definition: Definition, state: Manifest, files: PartFiles, home: Path, live: Compacted
) -> pl.DataFrame:
    """What rows, the table of merges and compacted messages say, `MERGES`, whether it holds or not.

    Args:
        definition: names the table.
        state: the store's state.
        files: its parts.
        home: holds the stores, and who was erased.
        live: names the files of compacted messages.
    """
    return reported(kept_merges(state, files), definition, live, Tombstones.load(home))


class MergedIds:
    """The merged ids of one state of a store; none where the definition has no ``identities``.

    Args:
        definition: how far merges are believed.
        state: the store's state.
        files: its parts.
        home: holds the stores.
        live: what has been compacted out of the live log.

    Attributes:
        people: who is who.
    """

    def __init__(self, definition: Definition, state: Manifest, files: PartFiles, home: Path, live: Compacted) -> None:
        self._state, self._files, rules = state, files, definition.identities
        merges = reported_merges(definition, state, files, home, live) if rules is not None else None
        self.people = People.of(merges, rules) if merges is not None and rules is not None else NOBODY_MERGED

    def rows(self, users: pl.Series | None = None) -> AbstractContextManager[Gathered]:
        """All rows of these ids, whole sets of them together, in runs.

        Args:
            users: only of these, which are whole sets, or those of one person; all when left out.
        """
        return gathered(self._state, self._files, self.people, users)

    def since(self, position: int) -> pl.Series:
        """Those that have rows which came in after a position."""
        found = [self._files.users(part) for part in self._state.parts if part.position > position]
        ids = pl.concat(found).unique() if found else pl.Series("id", [], dtype=pl.String)
        return ids.filter(pl.Series(self.people.sets_of(ids) >= 0))
