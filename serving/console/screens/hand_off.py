"""Hand-off: how it goes with each destination, and what can be done about it."""

import json

from starlette.responses import RedirectResponse, Response

from serving.console.office import Visit
from serving.console.pages import page_of
from serving.console.refusals import ConsoleError
from serving.console.screen import Screen

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
    if name not in visit.office.desk.definition.destinations:
        known = ", ".join(visit.office.desk.definition.destinations) or "–"
        raise ConsoleError("hand_off.unknown", 404, name=name[:60], known=known)
    memberships = visit.office.desk.live.memberships
    outbox = memberships.outbox
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
            raise ConsoleError("hand_off.unconfirmed")
        visit.wrote("resync", name, messages=memberships.resync(name))
    else:
        raise ConsoleError("hand_off.cannot", what=what[:20])
    return RedirectResponse(ADDRESS, 303)


SCREENS = (
    Screen("/hand-off", "GET", "look", _list),
    Screen("/hand-off/{name}", "POST", "publish", _act),
)
