"""The BentoML service: parse, answer, nothing else. Start it with ``propensity serve``."""

import gc
import logging
import sys
import threading
from typing import Annotated

import anyio
import bentoml
from pydantic import AwareDatetime, Field
from starlette.responses import Response

from features.definition import load_definition
from features.errors import PropensityError, UnavailableError
from features.lock import locked
from features.settings import Settings
from features.time import Clock, to_datetime
from features.user_id import UserId
from serving.answers import Answers, ScoreResponse
from serving.erase import Erased, erase
from serving.guard import WHY, Guard
from serving.live.path import LivePath
from serving.logs import write_json
from serving.members import SegmentMembers
from serving.web import Desk, app

#: longer lists are answered in a thread, so that they do not hold up single users
AT_ONCE = 20
MOST_USERS = 10_000
#: so many collections of younger objects go by before a full one
SELDOM = 1_000

log = logging.getLogger("propensity")


@bentoml.service(
    name="propensity",
    traffic={"timeout": 60},
    logging={"access": {"enabled": False}},
    http={"host": "127.0.0.1", "port": 3000},
    # a span is recorded of each call, though none is sent anywhere; BENTOML_CONFIG turns it on (docs/operate.md)
    tracing={"excluded_urls": ".*"},
    # answers are made of many small evaluations, which threads of other cores only hold up
    envs=[{"name": "POLARS_MAX_THREADS", "value": "1"}, {"name": "OMP_NUM_THREADS", "value": "1"}],
)
@bentoml.asgi_app(app, path="/")
class PropensityService:
    """State, RFM group, likelihoods, tiers and segments of users; and their events, live."""

    def __init__(self) -> None:
        settings = Settings()
        write_json()
        definition = load_definition(settings.definition)
        self._clock = Clock(settings.clock)
        self._answers = Answers(definition, settings)
        self._live = LivePath(definition, settings, self._clock, self._answers)

        def forget(user: str) -> Erased:
            with locked(settings.folder(definition.name)):
                return erase(definition, settings, self._live.ledger, [user])

        app.state.desk = Desk(
            definition, self._answers, SegmentMembers(self._answers, self._live.log), self._live, forget
        )
        self._warm_up()
        # an answer should not wait five milliseconds, the usual turn, for each step of the worker in another thread
        sys.setswitchinterval(0.0005)
        self._stop = threading.Event()
        threading.Thread(target=self._answers.watch, args=(self._stop,), name="champions", daemon=True).start()
        # a full collection over the libraries' heap stalls requests by 100 ms and more, and one over what BentoML's
        # timer keeps of each request for a minute by nearly as much, to find a hundred objects
        gc.collect()
        gc.freeze()
        gc.set_threshold(*gc.get_threshold()[:2], SELDOM)

    @bentoml.api(route="/score", output_spec=ScoreResponse)
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
    ) -> Response:
        """Score users."""
        instant, latest = as_of or to_datetime(self._clock.now()), as_of is None

        def answered(bulk: bool) -> str:
            return self._answers.json(user_ids, instant, reasons, latest=latest, changes=changes, bulk=bulk)

        try:
            at_once = len(user_ids) <= AT_ONCE and not changes
            answer = answered(False) if at_once else await anyio.to_thread.run_sync(answered, True)
        except UnavailableError as error:
            WHY.get().append(str(error))
            raise bentoml.exceptions.ServiceUnavailable(str(error)) from error
        except PropensityError as error:
            raise bentoml.exceptions.InvalidArgument(str(error)) from error
        return Response(answer, media_type="application/json")

    def _warm_up(self) -> None:
        """The first calls compile and fill caches; users should not wait for that."""
        self._answers.warm_up()
        try:
            self._answers.score(["warm-up"], to_datetime(self._clock.now()), 1)
        except UnavailableError as error:
            log.warning("started, and not ready: %s", error)

    @bentoml.on_shutdown
    def close(self) -> None:
        """Put what waits on the disk, and stop."""
        self._stop.set()
        self._live.close()


PropensityService.add_asgi_middleware(Guard)  # type: ignore[attr-defined] # the decorator made it a Service
