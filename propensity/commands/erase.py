"""The command that erases users."""

import os
from getpass import getuser
from typing import Annotated

import typer
from rich.markup import escape

from features.user_id import user_id
from propensity.commands.stores import memberships_of
from propensity.console import err, out, table
from propensity.options import DefinitionFile, opened


def erase(
    users: Annotated[list[str], typer.Argument(help="the ids of the users")], definition: DefinitionFile = None
) -> None:
    """Erase users everywhere, permanently; events of theirs that arrive later are not stored."""
    import polars as pl

    from features.system.files.lock import locked
    from features.time import Clock
    from serving.database.console.actions import Actions
    from serving.upkeep.erase import erase as job

    rules, settings = opened(definition)
    users = [user_id(user) for user in users]
    with locked(settings.folder(rules.name)):
        memberships = memberships_of(rules, settings)
        done = job(rules, settings, memberships, users)
    now = Clock(settings.clock).now()
    Actions(memberships.live).erased(now, _operator(), "command line", users, done.removed, done.left)
    places = list({**done.removed, **done.left})
    rows = {
        "place": places,
        "removed": [done.removed.get(p) for p in places],
        "left": [done.left.get(p) for p in places],
    }
    out.print(table(f"Erased: {', '.join(users)}", pl.DataFrame(rows)))
    if not any(done.removed.values()):
        words = f"nothing was known of {', '.join(users)}: look whether the ids are right. Their events are not stored."
        err.print(f"[bold yellow]warning[/] {escape(words)}", soft_wrap=True, highlight=False)
    if any(done.left.values()):
        err.print("[bold]fix[/] run it again when no other job writes what is left", highlight=False)
        raise typer.Exit(1)


def _operator() -> str:
    """Who runs the command; in a container the user may have no name."""
    try:
        return getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"
