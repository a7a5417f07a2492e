"""The log of actions: who changed, erased or exported what, when, and from where."""

import json
from dataclasses import asdict

from starlette.responses import RedirectResponse, Response

from features.time import to_datetime
from serving.console.office import Visit
from serving.console.pages import page_of
from serving.console.screen import Screen

PAGE = 100


def _list(visit: Visit) -> Response:
    asked = visit.field("before")
    before = int(asked) if asked.isascii() and asked.isdigit() and len(asked) < 18 else None
    rows = visit.office.actions.page(before=before, limit=PAGE)
    older = rows[-1].id if len(rows) == PAGE else None
    return page_of(visit, "log.html", "log", rows=rows, older=older, checked=visit.office.desk.chain.newer())


def _check(visit: Visit) -> Response:
    """Check all rows, which takes some ten seconds of 200,000, and show the log with what was found."""
    visit.office.desk.chain.whole(visit.now)
    return RedirectResponse("/console/log", 303)


def _export(visit: Visit) -> Response:
    """The whole log as JSON Lines, with the hashes by which anybody can check it."""
    visit.office.desk.chain.whole(visit.now)
    rows = visit.office.actions.all()
    lines = [
        json.dumps({**asdict(action), "time": to_datetime(action.at).isoformat()}, ensure_ascii=False)
        for action in rows
    ]  # fmt: skip
    visit.wrote("export", "log", rows=len(lines))
    name = f'attachment; filename="propensity-log-{to_datetime(visit.now):%Y-%m-%d}.jsonl"'
    return Response("\n".join([*lines, ""]), media_type="application/jsonl", headers={"content-disposition": name})


SCREENS = (
    Screen("/log", "GET", "look", _list),
    Screen("/log/check", "POST", "look", _check),
    Screen("/log/export", "POST", "look", _export),
)
