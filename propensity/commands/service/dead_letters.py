"""Commands of dead letters: messages that were refused or could not be folded."""

from typing import Annotated

import typer

from propensity.commands.stores import live_log
from propensity.console import out, shown_time, table
from propensity.options import DefinitionFile, new_group, opened

letters = new_group("Messages that were refused or could not be folded.")


@letters.command("list")
def list_letters(
    definition: DefinitionFile = None,
    limit: Annotated[int, typer.Option(min=1, help="the largest number of messages")] = 50,
    bodies: Annotated[bool, typer.Option(help="write the messages themselves, one JSON object per line")] = False,
) -> None:
    """List messages that were refused or could not be folded, with the reason."""
    import polars as pl

    found = live_log(*opened(definition)).dead_letters(limit=limit)
    if bodies:
        for letter in found:
            typer.echo(letter.body)
        return
    rows = [(x.id, shown_time(x.received), x.stage, x.code, x.reason) for x in found]
    columns = ["id", "received", "stage", "code", "reason"]
    out.print(table("Dead letters", pl.DataFrame(rows, schema=columns, orient="row")))


@letters.command()
def replay(
    definition: DefinitionFile = None,
    id: Annotated[list[int] | None, typer.Option(help="replay only the message of this id; can be repeated")] = None,
) -> None:
    """Read dead letters again, for example after a change of the definition, and accept those that are valid now."""
    from features.reading.live_messages import LogColumns
    from serving.ingest.replay import replay as job
    from serving.ingest.tracking import Tracking

    rules, settings = opened(definition)
    tracking = Tracking(LogColumns.load(rules, settings.folder(rules.name)))
    done = job(live_log(rules, settings), tracking, set(id) if id else None)
    out.print(f"{done.taken:,} taken, {len(done.refused):,} refused again.")
    for letter, reason in done.refused[:20]:
        out.print(f"  {letter}: {reason}", highlight=False)
