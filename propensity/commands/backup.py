"""Commands that copy a home and bring it back."""

from pathlib import Path
from typing import Annotated

import typer

from propensity.console import out


def backup(to: Annotated[Path, typer.Argument(help="the folder to create")]) -> None:
    """Copy all of PROPENSITY_HOME consistently, while services run."""
    from features.settings import Settings
    from serving.upkeep.backup import backup as job

    settings = Settings()
    count = job(settings.home.resolve(), to.resolve())
    out.print(f"{count:,} files copied to {to}, with their checksums.", highlight=False)
    if settings.live_log.get_secret_value():
        out.print("The live log is not in it: run pg_dump of its database now, after this copy and not before it.")
    if settings.online_store == "redis":
        out.print("Redis is not in it: propensity materialize fills it again.")
    if settings.tracking_uri:
        out.print("Models at PROPENSITY_TRACKING_URI are not in it: back up that server.")


def restore(source: Annotated[Path, typer.Argument(help="a folder that propensity backup created")]) -> None:
    """Restore a backup into PROPENSITY_HOME, which must be empty and may be another path."""
    from features.settings import Settings
    from serving.upkeep.backup import restore as job

    settings = Settings()
    count = job(source.resolve(), settings.home.resolve())
    out.print(f"{count:,} files are in {settings.home}, each as it was copied.", highlight=False)
    if settings.live_log.get_secret_value():
        out.print("Restore the live log's database with pg_restore, before services start.")
    out.print("Next: propensity materialize, then propensity reconcile, which should find no difference.")
