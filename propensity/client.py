"""A client of the service: typed answers, retries, paging. Needs nothing but ``httpx`` until an answer is read."""

import random
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar
from urllib.parse import quote

import httpx

from features.errors import PropensityError

if TYPE_CHECKING:
    from pydantic import BaseModel

    from serving.desk.segment_members import Members
    from serving.desk.user_history import TransitionRecord, UserHistory
    from serving.ingest.request import Received
    from serving.published.experiments import PublishedExperiment
    from serving.published.kpis import Kpis
    from serving.scoring.online import ScoreResponse, ServedModel

Answer = TypeVar("Answer", bound="BaseModel")

#: users of one request, messages of one request, transitions of one page
USERS, MESSAGES, PAGE = 10_000, 500, 10_000

#: answers after which the same request may be answered
AGAIN: Final = frozenset({408, 429, 500, 502, 503, 504})

#: the first wait between two tries, and the longest one, in seconds
FIRST, LONGEST = 0.2, 30.0


class ClientError(PropensityError):
    """The service refused a request, or did not answer it.

    Attributes:
        status: what HTTP says; 0 where there was no answer.
    """

    code = "unavailable"

    def __init__(self, message: str, *, fix: str = "", code: str | None = None, status: int = 0) -> None:
        super().__init__(message, fix=fix, code=code)
        self.status = status


class Client:
    """Calls the service; a request that fails for a moment is sent again.

    Every call may be sent twice without harm: messages carry an id, and everything else reads, or erases.

    Args:
        url: of the service.
        key: of ``propensity keys create``; without it, none is sent.
        timeout: seconds for one try.
        tries: how often a request is sent at most.
        sleep: waits so many seconds; for tests.
        transport: of httpx; for tests and proxies.
    """

    def __init__(
        self,
        url: str = "http://127.0.0.1:3000",
        key: str | None = None,
        *,
        timeout: float = 30.0,
        tries: int = 5,
        sleep: Callable[[float], None] = time.sleep,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        if tries < 1:
            raise ValueError(f"tries is {tries}; it must be at least 1")
        headers = {"Authorization": f"Bearer {key}"} if key is not None else {}
        self._http = httpx.Client(base_url=url, headers=headers, timeout=timeout, transport=transport)
        self._tries, self._sleep = tries, sleep

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def score(
        self,
        user_ids: Sequence[str],
        *,
        as_of: datetime | str | None = None,
        reasons: int = 0,
        changes: bool = False,
    ) -> "ScoreResponse":
        """Score users, however many; 10,000 go in one request.

        Args:
            user_ids: whom.
            as_of: the instant the scores are about; the service's clock when left out.
            reasons: the number of reasons per likelihood.
            changes: add what changed since the newest earlier scores.
        """
        from serving.scoring.online import ScoreResponse

        asked: dict[str, Any] = {"reasons": reasons, "changes": changes}
        asked |= {"as_of": _text(as_of)} if as_of is not None else {}
        parts = [
            self._read(ScoreResponse, "POST", "/score", json=asked | {"user_ids": list(user_ids[lo : lo + USERS])})
            for lo in range(0, len(user_ids), USERS)
        ]
        return ScoreResponse(
            records=[one for part in parts for one in part.records],
            missing=[one for part in parts for one in part.missing],
            merged=[one for part in parts for one in part.merged],
        )

    def user(self, user_id: str, *, reasons: int = 3, limit: int = 100) -> "UserHistory":
        """A user's record, memberships and newest transitions."""
        from serving.desk.user_history import UserHistory

        return self._read(UserHistory, "GET", _of_user(user_id), params={"reasons": reasons, "limit": limit})

    def erase(self, user_id: str) -> dict[str, int]:
        """Erase a user everywhere, permanently; returns how many rows a second search still finds, by place."""
        return dict(self._asked("DELETE", _of_user(user_id)).json()["left"])

    def members(self, segment: str, *, as_of: datetime | str | None = None) -> Iterator[str]:
        """Everybody who is in a segment, in the order of their ids; pages are read as they are needed."""
        for page in self.pages(segment, as_of=as_of):
            yield from page.users

    def pages(self, segment: str, *, as_of: datetime | str | None = None, limit: int = 1_000) -> Iterator["Members"]:
        """The pages of a segment's members, with those among them who are held out."""
        from serving.desk.segment_members import Members

        params: dict[str, Any] = {"limit": limit} | ({"as_of": _text(as_of)} if as_of is not None else {})
        while True:
            page = self._read(Members, "GET", f"/segments/{quote(segment, safe='')}/users", params=params)
            yield page
            if page.next is None:
                return
            # all pages speak of one instant
            params |= {"after": page.next, "as_of": page.as_of.isoformat()}

    def transitions(
        self, *, since: datetime | str | None = None, dimension: str | None = None, after: int = 0
    ) -> Iterator["TransitionRecord"]:
        """Who entered and left what, in order, page by page until there are no more."""
        from pydantic import TypeAdapter

        from serving.desk.user_history import TransitionRecord

        shape = TypeAdapter(list[TransitionRecord])
        params: dict[str, Any] = {"limit": PAGE}
        params |= {"since": _text(since)} if since is not None else {}
        params |= {"dimension": dimension} if dimension is not None else {}
        while page := shape.validate_json(self._asked("GET", "/transitions", params=params | {"after": after}).content):
            yield from page
            after = page[-1].id
            if len(page) < PAGE:
                return

    def send(self, messages: Iterable[Mapping[str, Any]]) -> "list[Received]":
        """Send messages of Segment's tracking API, 500 a request; one without ``messageId`` is given one.

        Returns:
            What became of each request's messages; what was refused is in it, and kept by the service.
        """
        from serving.ingest.request import Received

        named = [{"messageId": str(uuid.uuid4()), **message} for message in messages]
        return [
            self._read(Received, "POST", "/v1/batch", json={"batch": named[lo : lo + MESSAGES]}, refused=True)
            for lo in range(0, len(named), MESSAGES)
        ]

    def track(
        self,
        user_id: str,
        event: str,
        properties: Mapping[str, Any] | None = None,
        *,
        timestamp: datetime | str | None = None,
    ) -> "Received":
        """Send one event of a user; it is on the disk when this returns."""
        message = {"type": "track", "userId": user_id, "event": event, "properties": dict(properties or {})}
        [received] = self.send([message | ({"timestamp": _text(timestamp)} if timestamp is not None else {})])
        return received

    def definition(self) -> dict[str, Any]:
        """The definition being served, with its version."""
        return dict(self._asked("GET", "/definition").json())

    def models(self) -> "list[ServedModel]":
        """The champions being served."""
        from serving.scoring.online import ServedModel

        return [ServedModel.model_validate(one) for one in self._asked("GET", "/models").json()]

    def kpis(self, segment: str | None = None) -> "Kpis":
        """The KPIs that were published last, of everybody and each segment, or of one."""
        from serving.published.kpis import Kpis

        return self._read(Kpis, "GET", "/kpis", params={"segment": segment} if segment is not None else {})

    def experiments(self) -> "dict[str, PublishedExperiment]":
        """The experiments that were read out last, by name."""
        from serving.published.experiments import PublishedExperiment

        found = self._asked("GET", "/experiments").json()
        return {name: PublishedExperiment.model_validate(one) for name, one in found.items()}

    def _read(self, shape: type[Answer], method: str, path: str, *, refused: bool = False, **asked: Any) -> Answer:
        return shape.model_validate_json(self._asked(method, path, refused=refused, **asked).content)

    def _asked(self, method: str, path: str, *, refused: bool = False, **asked: Any) -> httpx.Response:
        """The answer to a request, sent again while it fails for a moment.

        Args:
            method: of HTTP.
            path: below the address.
            refused: whether a 400 is an answer, too: of messages that were all refused.
            asked: the rest of the request.

        Raises:
            ClientError: it was refused, or never answered.
        """
        why = ClientError("nothing was tried.")
        for attempt in range(self._tries):
            try:
                answer = self._http.request(method, path, **asked)
            except httpx.TransportError as error:
                why = ClientError(
                    f"{self._http.base_url} does not answer: {type(error).__name__}: {error}",
                    fix="see whether propensity serve is running there",
                )
                self._wait(attempt, None)
                continue
            if answer.is_success or (refused and answer.status_code == 400 and "refused" in _body(answer)):
                return answer
            body = _body(answer)
            why = ClientError(
                str(body.get("error", f"HTTP {answer.status_code}")), fix=str(body.get("fix", "")),
                code=str(body.get("code", "unavailable")), status=answer.status_code,
            )  # fmt: skip
            if answer.status_code not in AGAIN:
                break
            self._wait(attempt, answer.headers.get("retry-after"))
        raise why

    def _wait(self, attempt: int, after: str | None) -> None:
        """Wait before the next try, longer each time, or as long as the service says; not after the last one."""
        if attempt + 1 < self._tries:
            longer = min(LONGEST, FIRST * 2.0**attempt) * random.uniform(0.5, 1.0)  # noqa: S311 - jitter, no secret
            asked = float(after) if after is not None and after.isdigit() else 0.0
            self._sleep(max(longer, min(asked, LONGEST)))


def _of_user(user_id: str) -> str:
    return f"/users/{quote(user_id, safe='')}"


def _text(instant: datetime | str) -> str:
    return instant.isoformat() if isinstance(instant, datetime) else instant


def _body(answer: httpx.Response) -> dict[str, Any]:
    """What a problem says; nothing where it is none of the service's."""
    try:
        found = answer.json()
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
