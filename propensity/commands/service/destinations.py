"""Commands of destinations: their status, and what to do when something fails."""

from typing import Annotated

import typer

from features.errors import PropensityError
from propensity.commands.stores import memberships_of
from propensity.console import out, table
from propensity.options import AsJson, DefinitionFile, Since, new_group, opened, parse_instant

group = new_group("Destinations: their status, and what to do when something fails.")

Named = Annotated[str, typer.Argument(help="the destination")]


@group.command()
def status(definition: DefinitionFile = None, as_json: AsJson = False) -> None:
    """Show for each destination how many messages wait, were delivered, and are dead."""
    import json

    import polars as pl

    from features.time import to_datetime

    rules, settings = opened(definition)
    found = memberships_of(rules, settings).outbox.status()
    if as_json:
        rows = [
            row | {"oldest": to_datetime(row["oldest"]).isoformat() if row["oldest"] is not None else None}
            for row in found.to_dicts()
        ]
        typer.echo(json.dumps({"definition": rules.version, "destinations": rows}))
        return
    oldest = [f"{to_datetime(at):%Y-%m-%d %H:%M}" if at is not None else None for at in found["oldest"]]
    shown = found.with_columns(pl.Series("oldest", oldest, dtype=pl.String), pl.col("paused").replace_strict(
        {True: "paused", False: ""}, return_dtype=pl.String))  # fmt: skip
    out.print(table(f"Destinations of {rules.name}", shown), highlight=False)


@group.command()
def deliver(definition: DefinitionFile = None) -> None:
    """Deliver the waiting messages that can be delivered now, and exit; servers and workers do this all the time."""
    from features.time import Clock
    from serving.activation.delivery import Sender

    rules, settings = opened(definition)
    sender = Sender(rules, memberships_of(rules, settings).outbox, Clock(settings.clock))
    for name in rules.destinations:
        out.print(f"{name}: {sender.drain(name):,} delivered", highlight=False)
    sender.close()
    status(definition)


@group.command()
def replay(destination: Named, since: Since = None, definition: DefinitionFile = None) -> None:
    """Send a destination the transitions since an instant again; each message keeps its id."""
    rules, settings = opened(definition)
    memberships, start = memberships_of(rules, settings), parse_instant(since, "--since")
    if start is None:
        raise PropensityError("replay needs --since.", fix="name the start: --since 2026-03-01T00:00:00Z")
    out.print(f"{memberships.replay(destination, start):,} messages wait again.")


@group.command()
def resync(destination: Named, definition: DefinitionFile = None) -> None:
    """Send a destination all current members of what it subscribes to."""
    rules, settings = opened(definition)
    out.print(f"{memberships_of(rules, settings).resync(destination):,} messages wait.")


@group.command()
def pause(destination: Named, definition: DefinitionFile = None) -> None:
    """Stop sending to a destination until it is resumed; messages wait meanwhile."""
    rules, settings = opened(definition)
    memberships_of(rules, settings).outbox.pause(destination, paused=True)


@group.command()
def resume(destination: Named, definition: DefinitionFile = None) -> None:
    """Resume sending to a destination."""
    rules, settings = opened(definition)
    memberships_of(rules, settings).outbox.pause(destination, paused=False)


@group.command()
def dead(
    destination: Annotated[str | None, typer.Argument(help="only this destination")] = None,
    definition: DefinitionFile = None,
) -> None:
    """List the dead letters of destinations: messages that they did not accept."""
    rules, settings = opened(definition)
    out.print(table("Dead letters", memberships_of(rules, settings).outbox.dead(destination)))


@group.command()
def revive(destination: Named, definition: DefinitionFile = None) -> None:
    """Try to deliver a destination's dead letters again."""
    rules, settings = opened(definition)
    out.print(f"{memberships_of(rules, settings).outbox.revive(destination):,} messages wait again.")
