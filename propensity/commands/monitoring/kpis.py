"""The command that publishes KPIs."""

from typing import TYPE_CHECKING, Annotated

import typer

from features.errors import PropensityError
from propensity.commands.stores import memberships_of
from propensity.console import ShownSteps, out, progress
from propensity.options import AsJson, DefinitionFile, Ends, opened, parse_day, parse_instant

if TYPE_CHECKING:
    from features.definition import Definition
    from monitoring.kpis.audiences import Audiences
    from serving.published.kpis import By


def kpis(
    definition: DefinitionFile = None,
    since: Annotated[
        str | None, typer.Option(help="show days from this one on, such as 2026-01-01; the log's first by default")
    ] = None,
    by: Annotated[str | None, typer.Option(help="the length of periods: day, week or month; weeks by default")] = None,
    segment: Annotated[str | None, typer.Option(help="show this segment's users instead of everybody")] = None,
    ends: Ends = None,
    as_json: AsJson = False,
) -> None:
    """Show and publish KPIs: active users, who came and went, retention, outcomes and value.

    Of everybody, and of each segment's current users once a batch of scores has recorded who they are. It publishes
    kpis.json, kpis.html and tables; --segment changes only what is shown.
    """
    from features.open_log import open_log
    from features.system.files.lock import locked, sharing
    from monitoring.kpis.audiences import Audiences
    from monitoring.kpis.kpis import kpis as compute
    from monitoring.kpis.publish import PAGE, publish
    from propensity.tables import kpis as tables

    rules, settings = opened(definition)
    first, unit = parse_day(since, "--since"), _by(by)
    folder = settings.monitoring(rules.name)
    audiences = Audiences(rules, memberships_of(rules, settings))
    _check(segment, rules, audiences)
    with progress() as bars, sharing(settings.folder(rules.name)):
        steps = ShownSteps(bars)
        log = open_log(rules, settings, ends=parse_instant(ends, "--ends"), steps=steps)
        with locked(folder):
            with steps("count users", log.runs) as advance:
                found = compute(log, rules, audiences, folder / "kpis", by=unit, since=first, progress=advance)
            with steps("the page"):
                publish(found, folder)
    shown = found if segment is None else found.of(segment)
    if as_json:
        typer.echo(shown.model_dump_json(indent=1))
    else:
        out.print(*tables.page(shown, segment), sep="\n")
        out.print(f"The page is {folder / PAGE}", soft_wrap=True, highlight=False)


def _by(text: str | None) -> "By | None":
    units: dict[str, By] = {"day": "day", "week": "week", "month": "month"}
    if text is not None and text not in units:
        raise PropensityError(f"--by {text!r}.", fix=f"choose from {', '.join(units)}")
    return None if text is None else units[text]


def _check(segment: str | None, rules: "Definition", audiences: "Audiences") -> None:
    """See that a segment can be shown, before the log is read.

    Raises:
        PropensityError: there is no such segment, nobody is in it, or it is not known yet who is.
    """
    if segment is None:
        return
    if segment not in rules.segments:
        there = ", ".join(rules.segments) or "none"
        raise PropensityError(f"--segment {segment!r} is not a segment.", fix=f"the segments are {there}")
    if not audiences.known:
        raise PropensityError(
            f"--segment {segment}: who is in it is not known before the first batch of scores.",
            fix="run propensity score, then this again",
        )
    _, inhabited = audiences.numbered()
    if segment not in inhabited:
        raise PropensityError(
            f"--segment {segment}: nobody is in it since the last batch of scores.",
            fix=f"choose one with users: {', '.join(inhabited) or 'none has any'}",
        )
