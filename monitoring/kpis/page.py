"""The page of KPIs: read without a network, its first screen in numbers."""

from collections.abc import Iterator
from pathlib import Path

from monitoring.kpis.plots import charts
from serving.published.kpis import Group, Kpis
from training.report.pages import in_parts

#: pictures that take the whole width
WIDE = ("retention", "rates", "states", "segments")


def page(found: Kpis) -> str:
    """The page, with the drawing library inside."""
    return in_parts(
        Path(__file__).with_name("kpis.html.j2"),
        charts(found),
        found=found,
        tiles=list(tiles(found)),
        segments=[row(one) for one in found.groups[1:]],
        outcomes=list(found.groups[0].periods[-1].outcomes) if found.groups[0].periods else [],
        wide=WIDE,
    )


def tiles(found: Kpis) -> Iterator[tuple[str, str]]:
    """The newest numbers of everybody, each with its name."""
    everybody = found.groups[0]
    if everybody.days:
        day = everybody.days[-1]
        yield f"{day.daily:,}", f"active on {day.day:%d %b}"
        if day.weekly is not None:
            yield f"{day.weekly:,}", "active in 7 days"
        if day.monthly is not None:
            yield f"{day.monthly:,}", "active in 30 days"
        if day.stickiness is not None:
            yield f"{day.stickiness:.0%}", "stickiness"
    if everybody.periods:
        last = everybody.periods[-1]
        of = f"{found.by} of {last.starts:%d %b}" if found.by != "day" else f"{last.starts:%d %b}"
        for name, users in (("new", last.new), ("resurrected", last.resurrected), ("lost", last.lost)):
            yield f"{users:,}", f"{name}, {of}"
        if last.value_per_user is not None:
            yield f"{last.value_per_user:,.2f}", f"value a user, {of}"


def row(group: Group) -> dict[str, object]:
    """A segment's newest numbers."""
    last = group.periods[-1] if group.periods else None
    members = group.members or 0
    known = {
        name: next((p.outcomes[name].rate for p in reversed(group.periods) if p.outcomes[name].rate is not None), None)
        for name in (last.outcomes if last else {})
    }
    return {
        "name": group.name.replace("_", " "), "members": members,
        "active": last.active / members if last and members else None,
        "stickiness": group.days[-1].stickiness if group.days else None,
        "value": last.value_per_user if last else None, "rates": known,
    }  # fmt: skip
