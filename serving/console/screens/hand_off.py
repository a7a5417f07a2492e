"""Hand-off: how it goes with each destination, and what can be done about it."""

import json

from starlette.responses import RedirectResponse, Response

from serving.console.office import Visit
from serving.console.pages import page_of
from serving.console.screen import Screen
from serving.process.problems import RefusedError

ADDRESS = "/console/hand-off"

#: messages that were given up, on a page
MOST = 20


def _list(visit: Visit) -> Response:
    outbox = visit.office.desk.live.memberships.outbox
    dead = outbox.dead(limit=MOST).to_dicts()
    letters = [{**row, "body": _shown(row["body"]) if "see_ids" in visit.may else None} for row in dead]
    kinds = visit.office.desk.definition.destinations
    return page_of(visit, "hand_off.html", "hand_off", rows=outbox.status().to_dicts(), dead=letters, kinds=kinds)


def _shown(body: str) -> str:
    return json.dumps(json.loads(body), indent=1, ensure_ascii=False)


def _act(visit: Visit) -> Response:
    """Pause, resume, try again what was given up, or send all current members once more."""
    name, what = visit.request.path_params["name"], visit.field("do")
    memberships = visit.office.desk.live.memberships
    outbox = memberships.outbox
    if name not in visit.office.desk.definition.destinations:
        there = ", ".join(visit.office.desk.definition.destinations) or "none"
        raise RefusedError(f"there is no destination {name[:60]!r}.", fix=f"the destinations are: {there}", status=404)
    if what == "pause":
        outbox.pause(name, paused=True)
        visit.wrote("pause", name)
    elif what == "resume":
        outbox.pause(name, paused=False)
        visit.wrote("resume", name)
    elif what == "retry":
        visit.wrote("retry", name, messages=outbox.revive(name))
    elif what == "resync":
        if visit.field("confirmed") != "yes":
            raise RefusedError(visit.words("hand_off.unconfirmed"), fix=visit.words("hand_off.unconfirmed.fix"))
        visit.wrote("resync", name, messages=memberships.resync(name))
    else:
        raise RefusedError(f"a destination cannot {what[:20]!r}.", fix="pause, resume, retry or resync")
    return RedirectResponse(ADDRESS, 303)


SCREENS = (
    Screen("/hand-off", "GET", "look", _list),
    Screen("/hand-off/{name}", "POST", "publish", _act),
)
