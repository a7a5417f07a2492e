"""A definition with destinations, and memberships whose users move as the test sets them."""

from collections.abc import Callable
from dataclasses import dataclass

from features.definition import Definition
from features.time import DAY, Clock
from segments.transitions.membership import IN, Hysteresis, Observation
from segments.transitions.transition import Scoring, Transition, TransitionFinder
from serving.activation.delivery import Sender
from serving.activation.memberships import Memberships
from serving.database.log.live_log import LiveLog
from serving.database.schema import connect
from tests.segments.worlds import CUTS, moving
from tests.serving.activation.receivers import Receiver

MODELS = {"churn": "churn/1"}
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


class Hands(Clock):
    """A clock that is moved by hand."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self.at = at

    def now(self) -> int:
        return self.at


def going_to(url: str, **changes: object) -> dict[str, object]:
    """A webhook that receives carts."""
    hook = {"kind": "webhook", "url": url, "secret": "HOOK_SECRET", "of": ["segments.cart"], "allow_private": True,
            "rate": 1000, "batch": 10}  # fmt: skip
    return hook | changes


@dataclass
class Scene:
    """A memberships after its first batch, at 100 days: everybody in it is active."""

    definition: Definition
    memberships: Memberships
    clock: Hands
    finder: TransitionFinder

    @classmethod
    def set(cls, address: str, destinations: dict[str, object], **changes: object) -> "Scene":
        definition = moving(destinations=destinations, **{"transitions": {"holdout": 0}, **changes})
        live, clock = LiveLog(connect(address)), Hands(100 * DAY)
        memberships = Memberships(definition, live, clock)
        finder = TransitionFinder(Hysteresis(definition, CUTS), MODELS, definition.version, memberships.known())
        scene = cls(definition, memberships, clock, finder)
        scene.say({f"u{i}": {"states": "active"} for i in range(5)})
        scene.complete()
        return scene

    def say(self, users: dict[str, dict[str, str]], *, at: int | None = None, last_seen: int = 0) -> list[Transition]:
        """A scoring of some users."""
        instant = self.clock.at if at is None else at
        answer = [
            Observation(user, instant, values, frozenset(), {"churn": 0.2}, last_seen) for user, values in users.items()
        ]
        return self.memberships.record(
            answer, self.finder, self.memberships.last(), lambda names: {n: {"churn": 0.1} for n in names}
        )

    def complete(self) -> None:
        self.memberships.complete(Scoring(self.clock.at, MODELS, self.definition.version))
        self.clock.at += DAY

    def enter(self, *users: str, cart: bool = True) -> list[Transition]:
        """Users put something into the cart, or do not have it any more."""
        values = {"states": "active"} | ({"segments.cart": IN} if cart else {})
        return self.say(dict.fromkeys(users, values))

    def sender(self) -> Sender:
        return Sender(self.definition, self.memberships.outbox, self.clock)

    def close(self) -> None:
        self.memberships.live.close()


def drained(scene: Scene, name: str = "hook") -> int:
    sender = scene.sender()
    try:
        return sender.drain(name)
    finally:
        sender.close()


def once(scene: Scene, name: str = "hook") -> tuple[int | None, str | None, int]:
    """One step: what was delivered, the error kept, and how many failures are counted."""
    sender = scene.sender()
    try:
        sent = sender.step(name)
    finally:
        sender.close()
    status = scene.memberships.outbox.status().row(0, named=True)
    return sent, status["error"], status["failures"]


def ids(receiver: Receiver) -> list[str]:
    return [message["id"] for message in receiver.messages]


MakeScene = Callable[..., Scene]
