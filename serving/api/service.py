"""The BentoML service: parse, answer, nothing else. Start it with ``propensity serve``."""

import gc
import logging
import re
import sys
import threading
from typing import Annotated, Any

import features.system.telemetry  # noqa: F401

import anyio
import bentoml
from pydantic import BaseModel, ConfigDict, Field, model_validator
from starlette.responses import JSONResponse, Response

from features.definition import Definition, load_definition
from features.errors import PropensityError
from features.settings import Settings
from features.system.files.lock import locked
from features.system.files.private import private
from features.time import Clock, to_datetime
from features.user_id import UserId
from serving.api.connections import bound_connections
from serving.api.documentation.routes import add_page
from serving.api.middleware import Guard
from serving.api.paths import Path, Paths
from serving.api.routes import Instant, app, paths
from serving.audience.population import Population
from serving.console.app import mount
from serving.database.console.actions import Actions
from serving.database.console.chain import Chain
from serving.database.log.live_log import LiveLog
from serving.desk.desk import Caller, Desk
from serving.desk.segment_members import SegmentMembers
from serving.desk.user_events import UserEvents
from serving.process.logs import quiet, write_json
from serving.process.monitor_gauges import MonitorGauges
from serving.process.opening import Opening, StartingError
from serving.process.parent import end_with_parent
from serving.process.problems import problem_of, status_of, unknown_in_words
from serving.process.supervisor import ONE_THREAD
from serving.runtime.answer_sampler import AnswerSampler
from serving.runtime.live_path import LivePath
from serving.runtime.renewal import Renewal
from serving.scoring.online import Answers, ScoreResponse
from serving.upkeep.erase import Erased, erase

log = logging.getLogger("propensity")

#: longer lists are answered in a thread, so that they do not hold up single users
AT_ONCE = 20
MOST_USERS = 10_000
#: so many collections of younger objects go by before a full one
SELDOM = 1_000
#: how long a start waits for what it needs before it answers that it waits, in seconds
PATIENCE = 15


class Asked(BaseModel):
    """Which users to score, and when."""

    model_config = ConfigDict(extra="forbid", title="ScoreRequest")

    user_ids: Annotated[list[UserId], Field(min_length=1, max_length=MOST_USERS, description="the users to score")]
    as_of: Annotated[
        Instant | None, Field(description="the instant the scores are about; the server's clock if left out")
    ] = None
    reasons: Annotated[int, Field(ge=0, le=20, description="the number of reasons per likelihood")] = 0
    changes: Annotated[bool, Field(description="add what changed since the batch's newest earlier scores")] = False

    @model_validator(mode="before")
    @classmethod
    def _known(cls, given: Any) -> Any:
        unknown = [str(name) for name in given if name not in cls.model_fields] if isinstance(given, dict) else []
        if unknown:
            raise ValueError(unknown_in_words(unknown, cls.model_fields))
        return given


@bentoml.service(
    name="propensity",
    traffic={"timeout": 60},
    logging={"access": {"enabled": False}},
    # ours are labelled by route, and kept in memory; BentoML's by whatever path a caller names, and in files
    metrics={"enabled": False},
    http={"host": "127.0.0.1", "port": 3000},
    # a span is recorded of each call, though none is sent anywhere; BENTOML_CONFIG turns it on (docs/how-to/operate.md)
    tracing={"excluded_urls": ".*"},
    envs=[{"name": name, "value": value} for name, value in ONE_THREAD.items()],
)
@bentoml.asgi_app(app, path="/")
class PropensityService:
    """State, RFM group, likelihoods, tiers and segments of users; and their events, live."""

    def __init__(self) -> None:
        private()
        write_json()
        quiet()
        end_with_parent()
        self._stop = threading.Event()
        self._desk: Opening[Desk] = Opening(self._open, "the service")
        app.state.desk = self._desk
        self._desk.start(PATIENCE)
        renewal = Renewal(self._desk, _desk_of, freeze)
        threading.Thread(target=renewal.watch, args=(self._stop,), name="renewal", daemon=True).start()
        threading.Thread(target=self._warm_up, name="console", daemon=True).start()

    def _warm_up(self) -> None:
        """Make what the first visitor of the console would wait for, once all is open."""
        while not self._stop.wait(1.0):
            try:
                console.warm_up()
                return
            except StartingError:
                continue
            except PropensityError as error:
                log.warning("the console is not warm: %s", error)
                return

    def _open(self) -> Desk:
        """Open all that answers need; raises while something of it is away."""
        desk = _desk_of(load_definition(Settings().definition))
        # an answer should not wait five milliseconds, the usual turn, for each step of the worker in another thread
        sys.setswitchinterval(0.0005)
        freeze()
        gc.set_threshold(*gc.get_threshold()[:2], SELDOM)
        return desk

    @bentoml.api(route="/score", input_spec=Asked, output_spec=ScoreResponse)
    async def score(
        self, user_ids: list[str], as_of: Instant | None = None, reasons: int = 0, changes: bool = False
    ) -> Response:
        """Score users: state, RFM group, likelihoods, segments, and with `reasons` why."""

        def answered(bulk: bool) -> str:
            desk = self._desk.get()
            instant, latest = as_of or to_datetime(desk.live.clock.now()), as_of is None
            return desk.answers.json(user_ids, instant, reasons, latest=latest, changes=changes, bulk=bulk)

        try:
            at_once = len(user_ids) <= AT_ONCE and not changes
            answer = answered(False) if at_once else await anyio.to_thread.run_sync(answered, True)
        except Exception as error:  # BentoML would log each with a traceback, and tell nothing
            return JSONResponse(problem_of(error), status_of(error))
        return Response(answer, media_type="application/json")

    @bentoml.on_shutdown
    def close(self) -> None:
        """Commit the messages that are still waiting, and close the live log."""
        self._stop.set()
        self._desk.close(Desk.close)


def freeze() -> None:
    """Collect once, and look at what is left no more.

    A full collection over the libraries' heap stalls requests by 100 ms and more, and one over what BentoML's timer
    keeps of each request for a minute by nearly as much, to find a hundred objects.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()


def _desk_of(definition: Definition) -> Desk:
    """Open what the calls are answered from; raises while something of it is away."""
    settings = Settings()
    clock, stopped = Clock(settings.clock), threading.Event()
    # asked first: while it is away, models need not be loaded with each attempt
    LiveLog.open(definition, settings).close()
    sampler = AnswerSampler(definition, settings, clock) if settings.live_answers else None
    answers = Answers(definition, settings, sampler.add if sampler is not None else None)
    answers.warm_up(to_datetime(clock.now()))
    live = LivePath(definition, settings, clock, answers)
    if sampler is not None:
        sampler.start()
    actions, chain = Actions(live.log), Chain(live.log)
    chain.start(clock.now())

    def forget(user: str, by: Caller) -> Erased:
        with locked(settings.folder(definition.name)):
            erased = erase(definition, settings, live.memberships, [user])
        actions.erased(clock.now(), by.name, by.origin, [user], erased.removed, erased.left)
        return erased

    threading.Thread(target=answers.watch, args=(stopped,), name="champions", daemon=True).start()
    folder = settings.monitoring(definition.name)
    population, gauges = Population(definition, settings), MonitorGauges(folder, clock)
    members = SegmentMembers(answers, live.log, population)
    events = UserEvents(definition, settings, live.log)
    return Desk(definition, answers, members, population, events, live, forget, folder, gauges, chain, stopped, sampler)


bound_connections()
console = mount(app, lambda: app.state.desk.get(), Settings)
add_page(app, lambda: PropensityService.openapi_spec.asdict())  # type: ignore[attr-defined] # a Service, see above
_PROBES = [
    Path.fixed(path, "GET", "HEAD") for path in ("/livez", "/healthz", "/readyz", "/", "/docs.json", "/schema.json")
]
_SCORE = Path("/score", re.compile("^/score$"), frozenset({"POST"}), frozenset())
PropensityService.add_asgi_middleware(Guard, paths=Paths([*_PROBES, _SCORE, *paths()]))  # type: ignore[attr-defined]
