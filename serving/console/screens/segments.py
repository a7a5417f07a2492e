"""Segments: each with its size, what to do about it, who is held out, and where it is handed to."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from starlette.responses import Response

from features.definition.dimension import Dimension
from features.definition.schema import Definition
from features.definition.sections.rule import Segment
from features.errors import StoreError
from segments.holdout import held_out_share
from segments.transitions.membership import IN
from serving.activation.audience_export import Format, export
from serving.audience.published import check_scored
from serving.console.builder.forms import sentences_of
from serving.console.drawings.flows import sparkline
from serving.console.kept.overview import Overview
from serving.console.office import Visit
from serving.console.pages import page_of
from serving.console.refusals import ConsoleError
from serving.console.screen import Screen
from serving.published.kpis import published as kpis_published

#: what the files of a download are
KINDS: Final[Mapping[Format, str]] = {
    "csv": "text/csv; charset=utf-8", "parquet": "application/vnd.apache.parquet", "jsonl": "application/jsonl",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Trend:
    """A size over time.

    Attributes:
        points: of the drawn line.
        words: the same in words.
    """

    points: str
    words: str


@dataclass(frozen=True, slots=True)
class Row:
    """A segment of the list.

    Attributes:
        name: its name.
        rule: its rule.
        size: users in the newest batch; None before the first.
        held_out: those of them who are held out.
        share: the share that is held out.
        trend: its size over time as a drawing; None where that was not published.
        destinations: where its users are handed to.
        experiments: in which experiments it is.
    """

    name: str
    rule: Segment
    size: int | None
    held_out: int
    share: float
    trend: Trend | None
    destinations: list[str]
    experiments: list[str]


def rows_of(visit: Visit, overview: Overview | None) -> list[Row]:
    """The segments, the largest first.

    Args:
        visit: who asks.
        overview: that the page shows, of which the sizes are.
    """
    definition = visit.office.desk.definition
    trends = _trends(visit)
    found = [_row(definition, name, overview, trends.get(name)) for name in definition.segments]
    return sorted(found, key=lambda row: -(row.size or 0))


def _row(definition: Definition, name: str, overview: Overview | None, trend: Trend | None) -> Row:
    dimension = Dimension.segment(name)
    destinations = [
        key for key, one in definition.destinations.items()
        if one.kind != "notice" and (one.wants(dimension, None, IN) or one.wants(dimension, IN, None))
    ]  # fmt: skip
    experiments = [key for key, one in definition.experiments.items() if one.dimension == dimension]
    size = None if overview is None else overview.segments.get(name)
    held_out = 0 if overview is None else overview.held_out.get(name, 0)
    share = held_out_share(definition, dimension)
    return Row(name, definition.segments[name], size, held_out, share, trend, destinations, experiments)


def _trends(visit: Visit) -> dict[str, Trend]:
    try:
        found = kpis_published(visit.office.desk.monitoring)
    except StoreError:
        return {}  # the page of KPIs says so; a list of segments is good without them
    if found is None:
        return {}
    prefix = Dimension.segment("")
    sizes = {audience.name: [day.size for day in audience.days] for audience in found.audiences}
    return {
        name.removeprefix(prefix): Trend(
            sparkline(days), visit.words("segments.trend", first=days[0], last=days[-1], count=len(days))
        )
        for name, days in sizes.items()
        if name.startswith(prefix) and len(days) > 1
    }


def check_segment(visit: Visit, name: str) -> None:
    """Check that the definition has a segment.

    Raises:
        ConsoleError: it has not.
    """
    segments = visit.office.desk.definition.segments
    if name not in segments:
        raise ConsoleError("segments.unknown", 404, name=name[:60], known=", ".join(segments) or "–")


def _list(visit: Visit) -> Response:
    overview = visit.office.overviews.newest()
    return page_of(
        visit, "segments.html", "segments", rows=rows_of(visit, overview), overview=overview,
        drafts=visit.office.drafts.all(),
    )  # fmt: skip


def _one(visit: Visit) -> Response:
    name = visit.request.path_params["name"]
    desk = visit.office.desk
    check_segment(visit, name)
    overview = visit.office.overviews.newest()
    row = next(row for row in rows_of(visit, overview) if row.name == name)
    sentences = sentences_of(str(row.rule.when), desk.definition, visit.words)
    return page_of(visit, "segment.html", "segments", row=row, overview=overview, sentences=sentences)


def _members(visit: Visit) -> Response:
    """A page of the members, of which addresses hold the number alone."""
    name, asked = visit.request.path_params["name"], visit.field("page")
    check_segment(visit, name)
    number = int(asked) if asked.isascii() and asked.isdigit() and len(asked) < 10 else 1
    found = visit.office.members.page(name, number)
    template = "members_list.html" if "x-fragment" in visit.request.headers else "members.html"
    return page_of(visit, template, "segments", name=name, found=found)


def _download(visit: Visit) -> Response:
    """The users of a segment as a file, with the held out left out or marked."""
    name, asked = visit.request.path_params["name"], visit.field("form")
    check_segment(visit, name)
    form = next((one for one in KINDS if one == asked), None)
    if form is None:
        raise ConsoleError("download.unknown", name=asked[:20], known=", ".join(KINDS))
    definition, settings = visit.office.desk.definition, visit.office.settings
    marked = visit.field("holdout") == "marked"
    check_scored(visit.office.population, name)
    with TemporaryDirectory() as folder:  # what the command line exported last is not touched
        file = Path(folder) / f"{name}.{form}"
        scores, kept = settings.scores(definition.name), Path(folder) / "kept"
        memberships = visit.office.desk.live.memberships
        done = export(
            definition, memberships, scores, kept, name, file, form, changes=False, with_holdout=marked
        )  # fmt: skip
        content = file.read_bytes()
    visit.wrote("download", name, users=done.users, held_out=done.held_out, marked=marked, form=form)
    headers = {"content-disposition": f'attachment; filename="{name}.{form}"'}
    return Response(content, media_type=KINDS[form], headers=headers)


SCREENS = (
    Screen("/segments", "GET", "look", _list),
    Screen("/segments/{name}", "GET", "look", _one),
    Screen("/segments/{name}/members", "GET", "look", _members),
    Screen("/segments/{name}/download", "POST", "edit", _download),
)
