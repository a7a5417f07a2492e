"""What a call is answered from, and how a call that cannot be answered is refused."""

from typing import cast

from fastapi import Request

from serving.desk.desk import Caller, Desk
from serving.process.opening import Opening
from serving.process.problems import Problem

#: under which name the guard leaves that of the key
CALLER = "caller"

#: what every call may answer besides, for the page of the API
PROBLEMS: dict[int | str, dict[str, object]] = {
    status: {"model": Problem} for status in (400, 401, 403, 404, 405, 408, 413, 415, 422, 429, 500, 503, 504)
}


def desk_of(request: Request) -> Desk:
    """The desk of a request.

    Raises:
        StartingError: it is not open yet.
    """
    return cast("Opening[Desk]", request.app.state.desk).get()


def caller_of(request: Request) -> Caller:
    """Who makes a call: the name of the key, which the guard has found, and the address."""
    return Caller(getattr(request.state, CALLER, "anybody"), request.client.host if request.client else "unknown")
