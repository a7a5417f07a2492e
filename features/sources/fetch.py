"""Fetching what is new at the sources of a log into its folder."""

from pathlib import Path

from features.definition.schema import Definition
from features.definition.sections.sources import DatabaseSource, DeltaSource, FilesSource, Source
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
from features.system.lock import locked, sharing
from features.system.progress import Steps


def fetch(definition: Definition, settings: Settings, steps: Steps) -> list[Fetched]:
    """Fetch what is new at each source; what was fetched before stays as it is, and nothing is fetched twice.

    Args:
        definition: names the sources, and the folder of the log.
        settings: say who was erased.
        steps: shows progress.

    Raises:
        EventLogError: a source lacks a column or cannot be read, or a file in the folder is of none of the sources.
        UnavailableError: a source does not answer, or another job fetches.
    """
    sources = definition.events.sources
    if not sources:
        return []
    [folder] = resolve(definition, definition.events.path)
    erased = Tombstones.load(settings.events(definition.name))
    with sharing(settings.folder(definition.name)), locked(folder):
        _check_owners(definition)
        return [_fetch(definition, name, source, folder, erased, steps) for name, source in sources.items()]


def _fetch(
    definition: Definition, name: str, source: Source, folder: Path, erased: Tombstones, steps: Steps
) -> Fetched:
    parts = Parts(folder, name, Mapping.of(definition, name, source), erased)
    if isinstance(source, DatabaseSource):
        with IbisDatabase(name, source.url) as database:
            return Table(source, database, parts).fetch(steps)
    if isinstance(source, FilesSource):
        return Bucket(source, definition.folder, parts).fetch(steps)
    if isinstance(source, DeltaSource):
        return Delta(source, definition.folder, parts).fetch(steps)
    return Iceberg(source, parts).fetch(steps)


def _check_owners(definition: Definition) -> None:
    """Refuse files that no source would keep up to date."""
    for path in fetched_files(definition):
        if path.name.split("-")[0] not in definition.events.sources:
            raise EventLogError(
                f"{path} is of no source of this definition.",
                fix="remove it where the source is gone for good; events.path must be a folder of its own",
            )
