"""Commands of the hand-off: transitions, destinations, audiences, and power analysis."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from features.errors import PropensityError
from features.user_id import user_id
from propensity.console import out, table
from propensity.options import AsJson, DefinitionFile, new_group, opened, parse_instant

if TYPE_CHECKING:
    from features.definition import Definition
    from features.settings import Settings
    from serving.activation.audience_export import Format
    from serving.activation.memberships import Memberships

group = new_group("Destinations: their status, and what to do when something fails.")

Since = Annotated[str | None, typer.Option(help="from this instant on (UTC), such as 2026-03-01T10:00:00Z")]
Named = Annotated[str, typer.Argument(help="the destination")]


def transitions(
    definition: DefinitionFile = None,
    since: Since = None,
    user: Annotated[str | None, typer.Option(help="list the transitions of this user")] = None,
    dimension: Annotated[
        str | None, typer.Option(help="only this dimension: states, rfm, tiers.OUTCOME or segments.NAME")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="with --user, the largest number of transitions")] = 50,
) -> None:
    """Show who entered and left states, tiers, groups and segments, and why."""
    import polars as pl

    from features.time import to_datetime

    rules, settings = opened(definition)
    memberships = _memberships(rules, settings)
    start = parse_instant(since, "--since") or 0
    if user is None:
        flows = memberships.flows(start)
        if dimension is not None:
            flows = flows.filter(pl.col("dimension") == dimension)
        out.print(table(f"Transitions of {rules.name}", flows), highlight=False)
        return
    user = user_id(user)
    moved = memberships.history(user=user, dimension=dimension, since=start, limit=limit, newest=True)
    rows = {
        "at": [f"{to_datetime(t.at):%Y-%m-%d %H:%M}" for t in moved],
        "dimension": [t.dimension for t in moved],
        "before": [t.before for t in moved],
        "after": [t.after for t in moved],
        "cause": [t.cause for t in moved],
        **{name: [_two(t.scores_before.get(name), t.scores_after.get(name)) for t in moved] for name in rules.asked},
    }
    out.print(table(f"Transitions of {user}, the newest first", pl.DataFrame(rows)), highlight=False)


@group.command()
def status(definition: DefinitionFile = None, as_json: AsJson = False) -> None:
    """Show for each destination how many messages wait, were delivered, and are dead."""
    import json

    import polars as pl

    from features.time import to_datetime

    rules, settings = opened(definition)
    found = _memberships(rules, settings).outbox.status()
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
    sender = Sender(rules, _memberships(rules, settings).outbox, Clock(settings.clock))
    for name in rules.destinations:
        out.print(f"{name}: {sender.drain(name):,} delivered", highlight=False)
    sender.close()
    status(definition)


@group.command()
def replay(destination: Named, since: Since = None, definition: DefinitionFile = None) -> None:
    """Send a destination the transitions since an instant again; each message keeps its id."""
    rules, settings = opened(definition)
    memberships, start = _memberships(rules, settings), parse_instant(since, "--since")
    if start is None:
        raise PropensityError("replay needs --since.", fix="name the start: --since 2026-03-01T00:00:00Z")
    out.print(f"{memberships.replay(destination, start):,} messages wait again.")


@group.command()
def resync(destination: Named, definition: DefinitionFile = None) -> None:
    """Send a destination all current members of what it subscribes to."""
    rules, settings = opened(definition)
    out.print(f"{_memberships(rules, settings).resync(destination):,} messages wait.")


@group.command()
def pause(destination: Named, definition: DefinitionFile = None) -> None:
    """Stop sending to a destination until it is resumed; messages wait meanwhile."""
    rules, settings = opened(definition)
    _memberships(rules, settings).outbox.pause(destination, paused=True)


@group.command()
def resume(destination: Named, definition: DefinitionFile = None) -> None:
    """Resume sending to a destination."""
    rules, settings = opened(definition)
    _memberships(rules, settings).outbox.pause(destination, paused=False)


@group.command()
def dead(
    destination: Annotated[str | None, typer.Argument(help="only this destination")] = None,
    definition: DefinitionFile = None,
) -> None:
    """List the dead letters of destinations: messages that they did not accept."""
    rules, settings = opened(definition)
    out.print(table("Dead letters", _memberships(rules, settings).outbox.dead(destination)))


@group.command()
def revive(destination: Named, definition: DefinitionFile = None) -> None:
    """Try to deliver a destination's dead letters again."""
    rules, settings = opened(definition)
    out.print(f"{_memberships(rules, settings).outbox.revive(destination):,} messages wait again.")


def audience(
    name: Annotated[str, typer.Argument(help="a segment, states.NAME, rfm.GROUP or tiers.OUTCOME.TIER")],
    definition: DefinitionFile = None,
    to: Annotated[
        Path | None, typer.Option(help="the file to write; by default NAME.csv, .parquet or .jsonl here")
    ] = None,
    form: Annotated[str, typer.Option("--format", help="the file format: csv, parquet or jsonl")] = "csv",
    changes: Annotated[bool, typer.Option(help="export only who entered or left since the last export")] = False,
    with_holdout: Annotated[bool, typer.Option(help="include held-out users, with a mark")] = False,
) -> None:
    """Export the users of a segment, state, group or tier, or only the changes since the last export."""
    from features.system.lock import locked, sharing
    from serving.activation.audience_export import export

    rules, settings = opened(definition)
    forms: dict[str, Format] = {"csv": "csv", "parquet": "parquet", "jsonl": "jsonl"}
    if form not in forms:
        raise PropensityError(f"--format {form!r}.", fix=f"choose from {', '.join(forms)}")
    folder = settings.folder(rules.name) / "audiences"
    with sharing(settings.folder(rules.name)), locked(folder):
        done = export(
            rules, _memberships(rules, settings), settings.scores(rules.name), folder, name,
            to or Path(f"{name}.{form}"), forms[form], changes=changes, with_holdout=with_holdout,
        )  # fmt: skip
    since = f" ({done.entered:,} entered, {done.left:,} left)" if done.entered is not None else ""
    left_out = "" if with_holdout else f"; {done.held_out:,} are held out"
    out.print(f"{done.users:,} users in {done.path}{since}{left_out}.", highlight=False, soft_wrap=True)


def holdout(
    definition: DefinitionFile = None,
    effect: Annotated[
        float, typer.Option(min=0.01, max=1, help="the relative effect for which to say when it can be shown")
    ] = 0.2,
    confidence: Annotated[float, typer.Option(min=0.5, max=0.999, help="the confidence of the test")] = 0.95,
    power: Annotated[float, typer.Option(min=0.5, max=0.999, help="the power of the test")] = 0.8,
) -> None:
    """Power analysis: show for each tier the smallest effect that the holdout can show, and when."""
    from propensity.sizes import sizes

    rules, settings = opened(definition)
    memberships = _memberships(rules, settings)
    found = sizes(rules, settings.scores(rules.name), memberships, effect=effect, confidence=confidence, power=power)
    out.print(*found, sep="\n")


def _memberships(rules: "Definition", settings: "Settings") -> "Memberships":
    from features.time import Clock
    from serving.activation.memberships import Memberships
    from serving.database.live_log import LiveLog

    return Memberships(rules, LiveLog.open(rules, settings), Clock(settings.clock))


def _two(before: float | None, after: float | None) -> str:
    return " → ".join("–" if p is None else f"{p:.3f}" for p in (before, after))
