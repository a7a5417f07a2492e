"""The BentoML service: parse, answer, nothing else. Start it with ``propensity serve``."""

import gc
import logging
import threading
from datetime import UTC, datetime
from typing import Annotated

import anyio
import bentoml
from fastapi import FastAPI
from pydantic import AwareDatetime, Field, StrictStr

from features.definition import load_definition
from features.errors import PropensityError
from features.settings import Settings
from serving.answers import Answers, ScoreResponse, ServedModel
from serving.auth import BearerAuth

#: longer lists are answered in a thread, so that they do not hold up single users
AT_ONCE = 20
MOST_USERS = 10_000
POLL_SECONDS = 2.0

log = logging.getLogger("propensity")
# BentoML shows these on its own API page
reads = FastAPI(openapi_url=None)

UserId = Annotated[StrictStr, Field(min_length=1, max_length=256)]


@bentoml.service(
    name="propensity",
    traffic={"timeout": 60},
    logging={"access": {"enabled": False}},
    http={"host": "127.0.0.1", "port": 3000},
)
@bentoml.asgi_app(reads, path="/")
class PropensityService:
    """State, RFM group, likelihoods, tiers and segments of users."""

    def __init__(self) -> None:
        settings = Settings()
        self._definition = load_definition(settings.definition)
        self._answers = Answers(self._definition, settings)
        # the first calls compile and fill caches; users should not wait for that
        self._answers.score(["warm-up"], datetime.now(UTC), 1)
        self._stop = threading.Event()
        threading.Thread(target=self._watch, name="champions", daemon=True).start()
        # a full collection over the libraries' heap stalls requests by 100 ms and more
        gc.collect()
        gc.freeze()

    @bentoml.api(route="/score")
    async def score(
        self,
        user_ids: Annotated[list[UserId], Field(min_length=1, max_length=MOST_USERS, description="whom to score")],
        as_of: Annotated[
            AwareDatetime | None, Field(description="the instant the scores speak of; the server's clock when left out")
        ] = None,
        reasons: Annotated[int, Field(ge=0, le=20, description="how many reasons a likelihood")] = 0,
        changes: Annotated[
            bool, Field(description="tell what changed since the batch's newest earlier scores")
        ] = False,
    ) -> ScoreResponse:
        """Score users."""
        instant = as_of or datetime.now(UTC)
        try:
            if len(user_ids) <= AT_ONCE and not changes:
                return self._answers.score(user_ids, instant, reasons)
            return await anyio.to_thread.run_sync(
                lambda: self._answers.score(user_ids, instant, reasons, changes=changes, bulk=True)
            )
        except PropensityError as error:
            raise bentoml.exceptions.InvalidArgument(str(error)) from error

    @reads.get("/definition")
    def definition(self) -> dict[str, object]:
        """The definition being served, with its version."""
        content = self._definition.model_dump(mode="json", exclude_defaults=True)
        return {"version": self._definition.version, "definition": content}

    @reads.get("/models")
    def models(self) -> list[ServedModel]:
        """The champions being served."""
        return self._answers.models()

    def _watch(self) -> None:
        while not self._stop.wait(POLL_SECONDS):
            try:
                self._answers.refresh()
            except Exception:
                # the registry may be away for a while; what is loaded keeps serving, and the next round asks again
                log.exception("cannot ask the registry for champions")

    @bentoml.on_shutdown
    def close(self) -> None:
        """Stop watching for champions."""
        self._stop.set()


PropensityService.add_asgi_middleware(BearerAuth)  # type: ignore[attr-defined] # the decorator made it a Service
