"""Fetching what is new at the sources of a log into its folder."""

from pathlib import Path

from features.definition.schema import Definition
from features.definition.sections.log.sources import DatabaseSource, DeltaSource, FilesSource, Source
from features.errors import EventLogError
from features.events.tombstones import Tombstones
from features.reading.places import resolve
from features.settings import Settings
from features.sources.databases import IbisDatabase
from features.sources.files import Bucket
from features.sources.lakes import Delta, Iceberg
from features.sources.mapping import Mapping
from features.sources.parts import Fetched, Parts, fetched_files
from features.sources.tables import Table
from features.system.files.lock import locked, sharing
from features.system.progress import Steps


def fetch(definition: Definition, settings: Settings, steps: Steps) -> list[Fetched]:
    """Fetch what is new at each source; what was fetched before stays as it is, and nothing is fetched twice.

    Args:
        definition: names the sources, and the folder of the log.
        settings: say who was erased.
        steps: shows progress.

    Raises:
        EventLogError: a source lacks a column or cannot be read, or a file in the folder is of none of the sources.
        UnavailableError: a source does not answer.
    """
    sources = definition.events.sources
    if not sources:
        return []
    [folder] = resolve(definition, definition.events.path)
    erased, at_most = Tombstones.load(settings.events(definition.name)), definition.events.at_most.unreadable
    with sharing(settings.folder(definition.name)), locked(folder, wait=True):
        _check_owners(definition)
        found = {
            name: Parts(folder, name, Mapping.of(definition, name, source), erased) for name, source in sources.items()
        }
        return [_fetch(source, definition.folder, found[name], at_most, steps) for name, source in sources.items()]


def fetch_whole(name: str, source: Source, base: Path, folder: Path, steps: Steps) -> Fetched:
    """Fetch all rows and columns of a source of which nothing is known yet.

    Args:
        name: what it will be called.
        source: the source.
        base: where relative paths start.
        folder: the folder of the log.
        steps: shows progress.

    Raises:
        EventLogError: it cannot be read.
        UnavailableError: it does not answer, or another job fetches.
    """
    with locked(folder):
        return _fetch(source, base, Parts(folder, name, Mapping.whole(name, source, base), Tombstones()), 0.0, steps)


def _fetch(source: Source, base: Path, parts: Parts, at_most: float, steps: Steps) -> Fetched:
    if isinstance(source, DatabaseSource):
        with IbisDatabase(parts.mapping.place, source.url) as database:
            return Table(source, database, parts, at_most).fetch(steps)
    if isinstance(source, FilesSource):
        return Bucket(source, base, parts).fetch(steps)
    if isinstance(source, DeltaSource):
        return Delta(source, base, parts).fetch(steps)
    return Iceberg(source, parts).fetch(steps)


def _check_owners(definition: Definition) -> None:
    """Refuse files that no source would keep up to date."""
    for path in fetched_files(definition):
        if path.name.split("-")[0] not in definition.events.sources:
            raise EventLogError(
                f"{path} is of no source of this definition.",
                fix="remove it where the source is gone for good; events.path must be a folder of its own",
            )
