"""The calls beside ``/score``: the tracking API, segments, users, the definition and the models."""

import asyncio
from contextlib import suppress
from datetime import datetime
from typing import Annotated, Any, cast

import anyio
from fastapi import FastAPI, Path, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from pydantic import BaseModel, BeforeValidator, ConfigDict, WithJsonSchema

from features.definition.sections.rule import Segment
from features.errors import PropensityError
from features.time import parse_instant, to_datetime, to_instant
from features.user_id import UserId
from serving.api import published
from serving.api.messages import MESSAGES
from serving.api.paths import Path as Known
from serving.api.requests import PROBLEMS, caller_of, desk_of
from serving.desk.desk import Desk, check_segment
from serving.desk.segment_members import Members
from serving.desk.user_history import TransitionRecord, UserHistory, history_of
from serving.ingest.request import AT_ONCE, Call, Received
from serving.process import metrics
from serving.process.health import Health
from serving.process.opening import Opening, StartingError
from serving.process.problems import RefusedError, invalid, problem, problem_of, status_of
from serving.scoring.online import ServedModel


class Erasure(BaseModel):
    """What an erasure removed.

    Attributes:
        user_id: the user's id.
        removed: how many rows, files and messages were removed, by place.
        left: how many a second search still found, by place; all 0 when the erasure is complete.
    """

    model_config = ConfigDict(frozen=True)

    user_id: str
    removed: dict[str, int]
    left: dict[str, int]


# the page of the API is ours, see serving/api/documentation/
app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)

PathUser = Annotated[UserId, Path(description="the user's id; escape special characters, as in `a%2Fb`")]

#: an instant as people and programs write it
Instant = Annotated[
    datetime,
    BeforeValidator(lambda given: given if isinstance(given, datetime) else parse_instant(given)),
    WithJsonSchema({"type": "string", "format": "date-time", "examples": ["2026-03-01", "2026-03-01T10:00:00Z"]}),
]


@app.post("/v1/{call}", summary="Send events", responses=PROBLEMS, openapi_extra=MESSAGES, response_model=Received)
async def take(call: Call, request: Request) -> Received | JSONResponse:
    """Take messages of Segment's HTTP tracking API; answered when they are on the disk.

    ``call`` is ``track``, ``identify``, ``page``, ``screen``, ``alias``, ``batch`` or ``import``. A refused message is
    kept as a dead letter; the other messages of a batch are accepted.
    """
    live = desk_of(request).live
    encoding = request.headers.get("content-encoding", "")
    body, now = await request.body(), live.clock.now()
    if len(body) <= AT_ONCE and not encoding:
        read, done = live.ingest.begin(call, body, encoding, now)
    else:
        read, done = await anyio.to_thread.run_sync(live.ingest.begin, call, body, encoding, now)
    received = live.ingest.answer(read, await asyncio.wrap_future(done))
    if received.success:
        return received
    problem_body = problem(
        f"no message was taken: {received.refused[0].reason}", "refused", "correct the messages and send them again"
    )
    return JSONResponse({**problem_body, **received.model_dump()}, 400)


@app.get("/alive", include_in_schema=False)
def alive(request: Request) -> Response:
    """Whether this process works, or will; a supervisor should replace it otherwise. Asked for as ``/livez``."""
    status, body = _health(request).live()
    return JSONResponse(body, status)


@app.get("/ready", include_in_schema=False)
def ready(request: Request) -> Response:
    """Whether all that is needed answers, and what does not. Asked for as ``/readyz``."""
    status, body = _health(request).ready()
    return JSONResponse(body, status)


def _health(request: Request) -> Health:
    opening = cast("Opening[Desk]", request.app.state.desk)
    try:
        desk = opening.get()
    except StartingError as error:
        why = str(error)
        return Health(lambda: opening.alive, lambda: {"service": why})
    return Health(lambda: desk.live.alive, desk.live.missing, desk.live.degraded)


@app.get("/metrics", summary="Numbers for Prometheus", include_in_schema=False)
def numbers(request: Request) -> Response:
    """What Prometheus reads."""
    with suppress(StartingError):  # what is being opened has nothing to show yet
        desk_of(request).monitor.refresh()
    return Response(metrics.page(), media_type=metrics.TYPE)


@app.get("/definition", summary="The definition", responses=PROBLEMS)
def definition(request: Request) -> dict[str, object]:
    """The definition being served, with its version."""
    rules = desk_of(request).definition
    return {"version": rules.version, "definition": rules.as_file()}


@app.get("/models", summary="The models", responses=PROBLEMS)
def models(request: Request) -> list[ServedModel]:
    """The champions being served."""
    return desk_of(request).answers.models()


@app.get("/segments", summary="The segments", responses=PROBLEMS)
def segments(request: Request) -> dict[str, Segment]:
    """The segments: the predicate of each, what to watch, and what to do."""
    return desk_of(request).definition.segments


@app.get("/segments/{name}/users", summary="Who is in a segment", responses=PROBLEMS)
def segment_users(
    request: Request,
    name: Annotated[str, Path(description="the segment's name")],
    as_of: Annotated[Instant | None, Query(description="the instant; the server's clock if left out")] = None,
    after: Annotated[str, Query(max_length=256, description="the last page's `next`")] = "",
    limit: Annotated[int, Query(ge=1, le=1_000, description="the largest number of users on a page")] = 100,
) -> Members:
    """Who is in a segment: the last batch's members and the users who acted since, each checked at that instant."""
    desk = desk_of(request)
    check_segment(desk, name)
    instant = as_of or to_datetime(desk.live.clock.now())
    return desk.members.page(name, instant, after=after, limit=limit)


published.add(app)


@app.delete("/users/{user_id:path}", summary="Erase a user", responses=PROBLEMS)
def erase(request: Request, user_id: PathUser) -> Erasure:
    """Erase a user everywhere, permanently; the answer shows what was removed where, and that nothing is left."""
    erased = desk_of(request).erase(user_id, caller_of(request))
    return Erasure(user_id=user_id, removed=erased.removed, left=erased.left)


@app.get("/users/{user_id:path}", summary="A user and their history", responses=PROBLEMS)
def user(
    request: Request,
    user_id: PathUser,
    limit: Annotated[
        int, Query(ge=1, le=1_000, description="the largest number of transitions, the newest first")
    ] = 100,
    reasons: Annotated[int, Query(ge=0, le=20, description="the number of reasons per likelihood")] = 3,
) -> UserHistory:
    """A user's memberships and since when, the score record of now, and all transitions with their causes."""
    desk = desk_of(request)
    now = to_datetime(desk.live.clock.now())
    found = history_of(user_id, now, desk.answers, desk.live.memberships, limit=limit, reasons=reasons)
    if found.record is None and not found.memberships:
        raise RefusedError(
            f"nothing is known of {user_id!r}.",
            fix="check the id; a user is known from the first event on, and no longer once erased",
            status=404,
        )
    return found


@app.get("/transitions", summary="Who entered and left what", responses=PROBLEMS)
def transitions(
    request: Request,
    since: Annotated[Instant | None, Query(description="only transitions from this instant on")] = None,
    dimension: Annotated[
        str | None, Query(max_length=100, description="only this dimension, such as segments.cart_abandoned_24h")
    ] = None,
    after: Annotated[
        int, Query(ge=0, le=2**62, description="only transitions after this id: the newest of the last page")
    ] = 0,
    limit: Annotated[int, Query(ge=1, le=10_000, description="the largest number of transitions")] = 1_000,
) -> list[TransitionRecord]:
    """Users who entered or left states, tiers, groups and segments, in the order in which scorings found them."""
    start = to_instant(since) if since is not None else 0
    found = desk_of(request).live.memberships.history(dimension=dimension, since=start, after=after, limit=limit)
    return [TransitionRecord.of(transition) for transition in found]


def paths() -> list[Known]:
    """The paths of these calls, for the middleware."""
    found = []
    for route in app.routes:
        if isinstance(route, APIRoute):
            tracking = route.path.startswith("/v1/")  # SDKs send what they like
            query = None if tracking else frozenset(p.alias for p in route.dependant.query_params)
            template = route.path.replace(":path}", "}")
            found.append(Known(template, route.path_regex, frozenset(route.methods or ()), query))
    return found


def answers() -> dict[tuple[str, str], Any]:
    """What each call answers with, by path and method: a model, a list or a map of models, or any object."""
    found: dict[tuple[str, str], Any] = {}
    for route in app.routes:
        if isinstance(route, APIRoute):
            template = route.path.replace(":path}", "}")
            found |= {(template, method.lower()): route.response_model for method in route.methods or ()}
    return found


async def _answered_in_words(_: Request, error: Exception) -> JSONResponse:
    return JSONResponse(problem_of(error), status_of(error))


async def _invalid_request(_: Request, error: Exception) -> JSONResponse:
    found: list[dict[str, Any]] = list(cast(RequestValidationError, error).errors())
    return JSONResponse(invalid(found), 422)


app.add_exception_handler(RequestValidationError, _invalid_request)
app.add_exception_handler(PropensityError, _answered_in_words)
