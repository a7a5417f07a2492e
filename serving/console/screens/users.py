"""A user: the record in words, what they were over time, and erasing them."""

from dataclasses import dataclass

from starlette.responses import RedirectResponse, Response

from features.time import to_datetime
from features.user_id import LONGEST, UserIdError, user_id
from serving.audience.truth.profile import Profile
from serving.audience.truth.table import Row, truth_tables
from serving.console.drawings.curves import Curve, curve
from serving.console.drawings.timeline import timeline
from serving.console.office import Visit
from serving.console.pages import page_of
from serving.console.refusals import ConsoleError
from serving.console.screen import Screen
from serving.desk.desk import Caller
from serving.desk.user_history import UserHistory, history_of

ADDRESS = "/console/users"

#: transitions and reasons that are shown; events that are drawn, and those that are listed
TRANSITIONS, REASONS, DRAWN, LISTED = 200, 5, 5_000, 100


def _search(visit: Visit) -> Response:
    return page_of(visit, "users.html", "user", unknown="")


def _find(visit: Visit) -> Response:
    """Go to the page of a user; the id is sent as a form, so that it stands in no address."""
    try:
        asked = user_id(visit.field("user_id"))
    except UserIdError as error:
        raise ConsoleError("user.id.wrong", code=error.code, most=LONGEST) from error
    return RedirectResponse(f"{ADDRESS}/{visit.office.handles.of(asked)}", 303)


def _history(visit: Visit, user: str) -> UserHistory:
    desk = visit.office.desk
    now = to_datetime(visit.now)
    found = history_of(user, now, desk.answers, desk.live.memberships, limit=TRANSITIONS, reasons=REASONS)
    if found.record is None and not found.memberships:
        name = repr(user) if "see_ids" in visit.may else visit.words("id.hidden")
        raise ConsoleError("user.unknown", 404, name=name)
    return found


def _one(visit: Visit) -> Response:
    handle = visit.request.path_params["handle"]
    found = _history(visit, visit.office.handles.user(handle))
    return page_of(
        visit, "user.html", "user", handle=handle, found=found, curves=curves(visit, found),
        money=visit.office.desk.definition.money,
        shown=found.user_id if "see_ids" in visit.may else visit.words("id.hidden"),
    )  # fmt: skip


def curves(visit: Visit, found: UserHistory) -> list[Curve]:
    """The probability of each outcome over time, with the borders of its tiers."""
    models = {model.outcome: model for model in visit.office.desk.answers.models()}
    drawn = []
    for outcome in visit.office.desk.definition.likelihoods:
        points = {t.at: t.scores_after[outcome] for t in found.transitions if outcome in t.scores_after}
        if found.record is not None and (now := found.record.intent[outcome].probability) is not None:
            points[found.record.as_of] = now
        if len(points) > 1 and outcome in models:
            model = models[outcome]
            drawn.append(curve(outcome, sorted(points.items()), model.most_likely_from, model.least_likely_up_to))
    return drawn


def _timeline(visit: Visit) -> Response:
    """What the user did and was, on one axis and in a table."""
    handle = visit.request.path_params["handle"]
    found = _history(visit, visit.office.handles.user(handle))
    done = visit.office.desk.events.of(found.user_id, visit.now, DRAWN)
    drawing = timeline(done.events, found.transitions, to_datetime(visit.now), visit.words("timeline.moved"))
    template = "timeline_drawn.html" if "x-fragment" in visit.request.headers else "timeline.html"
    listed = done.events[:LISTED]
    return page_of(visit, template, "user", handle=handle, done=done, drawing=drawing, listed=listed)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a user is in a segment, why, and when that changes if nothing happens.

    Attributes:
        name: of the segment.
        inside: whether its rule holds.
        row: its conditions.
    """

    name: str
    inside: bool
    row: Row


def _truth(visit: Visit) -> Response:
    """The truth tables of all segments: those the user is in first, then those that change soonest."""
    handle = visit.request.path_params["handle"]
    user, desk = visit.office.handles.user(handle), visit.office.desk
    profile = Profile.stored(desk.answers.profiles, user, visit.now)
    if profile is None:
        raise ConsoleError("user.no_profile", 404, fix="user.unknown.fix")
    rules = {name: str(rule.when) for name, rule in desk.definition.segments.items()}
    tables = truth_tables(profile, desk.answers.scorer, rules, catalogue=visit.words.sentences)
    verdicts = [Verdict(name, table.row.met is True, table.row) for name, table in tables.items()]
    verdicts.sort(key=lambda one: (not one.inside, one.row.flips_at is None, one.row.flips_at, one.name))
    until = next((table.until for table in tables.values()), None)
    template = "truth_tables.html" if "x-fragment" in visit.request.headers else "truth.html"
    return page_of(visit, template, "user", handle=handle, verdicts=verdicts, until=until)


@dataclass(frozen=True, slots=True)
class Place:
    """A place that an erasure looked through.

    Attributes:
        name: where.
        removed: rows removed.
        left: rows that a second search still found.
    """

    name: str
    removed: int
    left: int


def _erase(visit: Visit) -> Response:
    """Erase a user, whose id was typed again; the answer is the report of counts."""
    user = visit.office.handles.user(visit.request.path_params["handle"])
    if visit.field("typed") != user:
        raise ConsoleError("user.erase.typed")
    who = visit.session.name if visit.session is not None else ""
    erased = visit.office.desk.erase(user, Caller(who, visit.origin))
    places = [Place(name, erased.removed[name], erased.left[name]) for name in erased.removed]
    return page_of(visit, "erased.html", "user", places=places, whole=not any(erased.left.values()))


SCREENS = (
    Screen("/users", "GET", "look", _search),
    Screen("/users", "POST", "look", _find),
    Screen("/users/{handle}", "GET", "look", _one),
    Screen("/users/{handle}/timeline", "GET", "look", _timeline),
    Screen("/users/{handle}/truth", "GET", "look", _truth),
    Screen("/users/{handle}/erase", "POST", "erase", _erase),
)
