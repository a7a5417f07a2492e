"""Commands of transitions: who entered and left, audiences, and what a holdout can show."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from features.errors import PropensityError
from features.user_id import user_id
from propensity.commands.stores import memberships_of
from propensity.console import out, table
from propensity.options import DefinitionFile, Since, opened, parse_instant

if TYPE_CHECKING:
    from serving.activation.audience_export import Format


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
    memberships = memberships_of(rules, settings)
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
        **{name: [_two(t.scores_before.get(name), t.scores_after.get(name)) for t in moved] for name in rules.outcomes},
    }
    out.print(table(f"Transitions of {user}, the newest first", pl.DataFrame(rows)), highlight=False)


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
    from features.definition.dimension import Dimension
    from features.system.files.lock import locked, sharing
    from serving.activation.audience_export import dimension_of, export
    from serving.audience.population import Population
    from serving.audience.published import check_scored

    rules, settings = opened(definition)
    forms: dict[str, Format] = {"csv": "csv", "parquet": "parquet", "jsonl": "jsonl"}
    if form not in forms:
        raise PropensityError(f"--format {form!r}.", fix=f"choose from {', '.join(forms)}")
    dimension = Dimension(dimension_of(rules, name)[0])
    if dimension.kind == "segments":
        check_scored(Population(rules, settings), dimension.of)
    folder = settings.folder(rules.name) / "audiences"
    with sharing(settings.folder(rules.name)), locked(folder):
        done = export(
            rules, memberships_of(rules, settings), settings.scores(rules.name), folder, name,
            to or Path(f"{name}.{form}"), forms[form], changes=changes, with_holdout=with_holdout,
        )  # fmt: skip
    since = f" ({done.entered:,} entered, {done.left:,} left)" if done.entered is not None else ""
    left_out = "" if with_holdout else f"; {done.held_out:,} are held out"
    out.print(f"{done.users:,} users in {done.path}{since}{left_out}.", highlight=False, soft_wrap=True)


def holdout(
    definition: DefinitionFile = None,
    effect: Annotated[
        float, typer.Option(min=0.01, max=1, help="a relative effect; the table says when it can be shown")
    ] = 0.2,
    confidence: Annotated[float, typer.Option(min=0.5, max=0.999, help="the confidence of the test")] = 0.95,
    power: Annotated[float, typer.Option(min=0.5, max=0.999, help="the power of the test")] = 0.8,
) -> None:
    """Power analysis: show for each tier the smallest effect that the holdout can show, and when."""
    from propensity.tables.power import sizes

    rules, settings = opened(definition)
    memberships = memberships_of(rules, settings)
    found = sizes(rules, settings.scores(rules.name), memberships, effect=effect, confidence=confidence, power=power)
    out.print(*found, sep="\n")


def _two(before: float | None, after: float | None) -> str:
    return " → ".join("–" if p is None else f"{p:.3f}" for p in (before, after))
