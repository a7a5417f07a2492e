"""The calls beside ``/score``: the tracking API, segments, users, the definition and the models."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC
from typing import Annotated, cast

import anyio
from fastapi import FastAPI, Path, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import AwareDatetime, BaseModel, ConfigDict

from features.definition.rule import Segment
from features.definition.schema import Definition
from features.errors import PropensityError, UnavailableError
from features.time import to_datetime, to_instant
from features.user_id import UserId
from serving.answers import Answers, ServedModel
from serving.erase import Erased
from serving.live.ingest import AT_ONCE, Call, Received, RequestError
from serving.live.path import LivePath
from serving.members import Members, SegmentMembers
from serving.users import Moved, UserHistory, history_of


@dataclass(frozen=True, slots=True)
class Desk:
    """What the calls are answered from.

    Attributes:
        definition: what is served.
        answers: scores.
        members: who is in a segment.
        live: the live path.
        erase: removes a user everywhere.
    """

    definition: Definition
    answers: Answers
    members: SegmentMembers
    live: LivePath
    erase: Callable[[str], Erased]


class Erasure(BaseModel):
    """What an erasure removed, by place, and what a second look still found there."""

    model_config = ConfigDict(frozen=True)

    user_id: str
    removed: dict[str, int]
    left: dict[str, int]


class Problem(BaseModel):
    """Why a call was not answered."""

    error: str
    code: str


PROBLEMS: dict[int | str, dict[str, object]] = {
    status: {"model": Problem} for status in (400, 401, 403, 404, 413, 415, 429, 503)
}

# BentoML shows these on its own API page
app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)

PathUser = Annotated[UserId, Path()]
_MESSAGES: dict[str, object] = {
    "requestBody": {"required": True, "content": {"application/json": {"schema": {"type": "object"}}}}
}


def _desk(request: Request) -> Desk:
    return cast(Desk, request.app.state.desk)


@app.post("/v1/{call}", responses=PROBLEMS, openapi_extra=_MESSAGES)
async def take(call: Call, request: Request, response: Response) -> Received:
    """Take messages of Segment's HTTP tracking API; answered when they are on the disk.

    A message that is refused is kept as a dead letter, and does not keep the others of a batch out.
    """
    live = _desk(request).live
    encoding = request.headers.get("content-encoding", "")
    body, now = await request.body(), live.clock.now()
    if len(body) <= AT_ONCE and not encoding:
        read, done = live.ingest.begin(call, body, encoding, now)
    else:
        read, done = await anyio.to_thread.run_sync(live.ingest.begin, call, body, encoding, now)
    received = live.ingest.answer(read, await asyncio.wrap_future(done))
    if not received.success:
        response.status_code = 400
    return received


@app.get("/ready", include_in_schema=False)
def ready(request: Request, response: Response) -> dict[str, object]:
    """Whether all that is needed answers, and what does not; also at ``/readyz``."""
    missing = _desk(request).live.missing()
    response.status_code = 503 if missing else 200
    return {"ready": not missing, "missing": missing}


@app.get("/definition", responses=PROBLEMS)
def definition(request: Request) -> dict[str, object]:
    """The definition being served, with its version."""
    rules = _desk(request).definition
    return {"version": rules.version, "definition": rules.model_dump(mode="json", exclude_defaults=True)}


@app.get("/models", responses=PROBLEMS)
def models(request: Request) -> list[ServedModel]:
    """The champions being served."""
    return _desk(request).answers.models()


@app.get("/segments", responses=PROBLEMS)
def segments(request: Request) -> dict[str, Segment]:
    """The segments: what one must be to be in them, what to watch, and what to do."""
    return _desk(request).definition.segments


@app.get("/segments/{name}/users", responses=PROBLEMS)
def segment_users(
    request: Request,
    name: str,
    as_of: AwareDatetime | None = None,
    after: Annotated[str, Query(max_length=256, description="the last page's `next`")] = "",
    limit: Annotated[int, Query(ge=1, le=1_000)] = 100,
) -> Members:
    """Who is in a segment: the last batch's members and whoever acted since, each looked at at that instant."""
    desk = _desk(request)
    if name not in desk.definition.segments:
        raise _NotFoundError(f"there is no segment {name!r}.", fix=f"there are {', '.join(desk.definition.segments)}")
    instant = as_of.astimezone(UTC) if as_of else to_datetime(desk.live.clock.now())
    return desk.members.page(name, instant, after=after, limit=limit)


@app.delete("/users/{user_id}", responses=PROBLEMS)
def erase(request: Request, user_id: PathUser) -> Erasure:
    """Erase a user everywhere, for good; the answer shows what was removed where, and that nothing is left."""
    erased = _desk(request).erase(user_id)
    return Erasure(user_id=user_id, removed=erased.removed, left=erased.left)


@app.get("/users/{user_id}", responses=PROBLEMS)
def user(
    request: Request,
    user_id: PathUser,
    limit: Annotated[int, Query(ge=1, le=1_000, description="how many moves at most, the newest first")] = 100,
    reasons: Annotated[int, Query(ge=0, le=20, description="how many reasons a likelihood")] = 3,
) -> UserHistory:
    """What a user is and since when, what is said of them now, and all their moves with their causes."""
    desk = _desk(request)
    now = to_datetime(desk.live.clock.now())
    found = history_of(user_id, now, desk.answers, desk.live.ledger, limit=limit, reasons=reasons)
    if found.record is None and not found.standing:
        raise _NotFoundError(f"nothing is known of {user_id!r}.", fix="send events of theirs")
    return found


@app.get("/transitions", responses=PROBLEMS)
def transitions(
    request: Request,
    since: AwareDatetime | None = None,
    dimension: Annotated[str | None, Query(max_length=100, description="such as segments.cart_abandoned_24h")] = None,
    after: Annotated[int, Query(ge=0, le=2**62, description="the last page's newest id")] = 0,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 1_000,
) -> list[Moved]:
    """Who moved between states, tiers, groups and segments, in the order in which it was seen."""
    start = to_instant(since) if since is not None else 0
    found = _desk(request).live.ledger.history(dimension=dimension, since=start, after=after, limit=limit)
    return [Moved.of(transition) for transition in found]


class _NotFoundError(PropensityError):
    code = "not_found"


@app.exception_handler(PropensityError)
def _told(_: Request, error: PropensityError) -> JSONResponse:
    status = 503 if isinstance(error, UnavailableError) else 400
    if isinstance(error, RequestError):
        status = error.status
    if isinstance(error, _NotFoundError):
        status = 404
    return JSONResponse({"error": str(error), "code": error.code}, status)
