"""Commands of keys: write keys of SDKs, and tokens."""

from typing import Annotated

import typer

from propensity.commands.stores import live_log
from propensity.console import err, out, shown_time, table
from propensity.options import DefinitionFile, new_group, opened, parse_duration

keys = new_group("Keys: write keys of SDKs, and tokens.")

KeyName = Annotated[str, typer.Argument(help="the key's name")]
Grace = Annotated[str, typer.Option(help="how long the old secret still works, such as 24h")]


@keys.command()
def create(
    name: KeyName,
    role: Annotated[
        str,
        typer.Option(
            help="the role: write (sends events), read (reads scores and metrics), admin (reads, and erases users); of "
            "people in the console also viewer, editor, publisher and privacy"
        ),
    ],
    definition: DefinitionFile = None,
) -> None:
    """Create a key; its secret is shown once."""
    from serving.desk.keys import Keys

    _secret(Keys(live_log(*opened(definition))).create(name, role))


@keys.command()
def rotate(name: KeyName, grace: Grace = "24h", definition: DefinitionFile = None) -> None:
    """Create a new secret for a key; running services accept it within seconds."""
    from serving.desk.keys import Keys

    _secret(Keys(live_log(*opened(definition))).rotate(name, grace=parse_duration(grace, "--grace")))


@keys.command()
def revoke(name: KeyName, definition: DefinitionFile = None) -> None:
    """Remove a key; running services refuse it within seconds."""
    from serving.desk.keys import Keys

    Keys(live_log(*opened(definition))).revoke(name)
    out.print(f"{name} is revoked.", highlight=False)


@keys.command("list")
def list_keys(definition: DefinitionFile = None) -> None:
    """List the valid keys."""
    import polars as pl

    from serving.desk.keys import Keys

    found = Keys(live_log(*opened(definition))).all()
    rows = {"name": [k.name for k in found], "role": [k.role for k in found],
            "created": [shown_time(k.created) for k in found],
            "expires": [shown_time(k.expires) if k.expires else None for k in found]}  # fmt: skip
    out.print(table("Keys", pl.DataFrame(rows, schema=dict.fromkeys(rows, pl.String))))


def _secret(secret: str) -> None:
    typer.echo(secret)
    err.print("Keep it now: it is not shown again, and only its hash is stored.")
