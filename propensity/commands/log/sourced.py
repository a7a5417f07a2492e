"""The source that an address on the command line means."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from features.definition.sections.log.sources import Source

_BUCKETS = ("s3", "gs", "gcs", "abfs", "abfss")


def source_of(address: str, table: str | None, like: str | None) -> "Source | None":
    """The source at an address; None for files on this machine.

    Args:
        address: a database's, a bucket's, a folder's; ``${NAME}`` comes from the environment.
        table: the table of a database.
        like: the importer of files.

    Raises:
        EventLogError: a database without a table, or an address that holds a password.
    """
    from pydantic import ValidationError

    from features.definition.sections.log.sources import DatabaseSource, DeltaSource, FilesSource
    from features.errors import EventLogError
    from features.sources.databases import BACKENDS

    scheme = os.path.expandvars(address).partition("://")[0].partition("+")[0]
    try:
        if scheme in BACKENDS:
            if table is None:
                raise EventLogError(f"{address} is a database.", fix="name the table, as in --table public.events")
            return DatabaseSource(kind="database", url=address, table=table)
        if scheme in _BUCKETS:
            return FilesSource(kind="files", url=address, like=like)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]["msg"].removeprefix("Value error, ")
        raise EventLogError(
            f"{problem}.", fix="as in: propensity init '${SHOP_DATABASE}' --table public.events"
        ) from None
    if (Path(address) / "_delta_log").is_dir():
        return DeltaSource(kind="delta", url=str(Path(address).absolute()))
    return None
