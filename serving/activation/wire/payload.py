"""What destinations are sent: the message of a transition, and the request that carries several of them."""

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from features.definition.dimension import Dimension
from features.errors import PropensityError
from features.time import to_datetime
from segments.transitions.transition import Transition

Body = dict[str, object]

#: of a message, what an audience's event says beside the audience
_PROPERTIES = ("cause", "scores", "models", "definition", "experiment", "variant")


@dataclass(frozen=True, slots=True)
class Request:
    """A request to a destination: where to, below its address, and what it says."""

    path: str
    content: bytes
    headers: dict[str, str]


def body_of(definition: str, transition: Transition, sync: str = "") -> Body:
    """The message of a transition; its ``id`` is the same however often it is sent, so that nobody acts twice.

    Args:
        definition: the definition's name.
        transition: the move.
        sync: the name of the full resync it is part of.
    """
    t = transition
    number = str(t.id)
    if not t.id:  # a move that is not kept: of an erasure, or of a resync
        number = sha256(f"{t.cause}{sync}{t.user}\x00{t.dimension}{t.at}".encode()).hexdigest()[:24]
    body: Body = {
        "id": f"{definition}.{number}",
        "user_id": t.user,
        "at": to_datetime(t.at).isoformat(),
        "dimension": t.dimension,
        "before": t.before,
        "after": t.after,
        "cause": "resync" if sync else t.cause,
        "scores": {"before": dict(t.scores_before), "after": dict(t.scores_after)},
        "models": dict(t.models),
        "definition": t.definition,
    }
    return body | ({"sync": sync} if sync else {})


def webhook(batch: str, bodies: Sequence[Body], secret: str, at: datetime) -> Request:
    """A signed request of the Standard Webhooks specification.

    Args:
        batch: names the request (``webhook-id``), the same whenever it is tried again.
        bodies: the messages.
        secret: ``whsec_…``.
        at: the instant of the attempt, which is signed too.

    Source:
        https://www.standardwebhooks.com
    """
    from standardwebhooks import Webhook

    envelope = {"type": "propensity.transitions", "timestamp": bodies[0]["at"], "data": {"transitions": list(bodies)}}
    content = json.dumps(envelope, separators=(",", ":"), ensure_ascii=False)
    headers = {
        "Content-Type": "application/json",
        "webhook-id": batch,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(secret).sign(batch, at, content),
    }
    return Request("", content.encode(), headers)


def check_secret(kind: str, secret: str, *, key: str) -> None:
    """Check that requests can be signed with a secret, or carry a key; nothing of it is in an error.

    Raises:
        PropensityError: they cannot.
    """
    if kind == "webhook":
        try:
            usable = bool(base64.b64decode(secret.removeprefix("whsec_"), validate=True))
        except ValueError:
            usable = False
        if not usable:
            raise PropensityError(f"{key} is not base64.", fix="use the receiver's secret as it is, whsec_…")
    elif not (secret.isascii() and secret.isprintable()) or " " in secret:
        raise PropensityError(
            f"{key} holds white space or letters that are not ASCII.", fix="use the write key as it is"
        )


def audience(bodies: Sequence[Body], key: str, at: datetime) -> Request:
    """Segment's ``Audience Entered`` and ``Audience Exited`` track events, as its own audiences send them."""
    batch = [
        {
            "type": "track",
            "event": "Audience Entered" if entered else "Audience Exited",
            "userId": body["user_id"],
            "messageId": f"{body['id']}.{'entered' if entered else 'exited'}",
            "timestamp": body["at"],
            "properties": {
                "audience_key": of,
                "audience_name": Dimension(of).of.replace("_", " ").capitalize(),
                of.replace(".", "_"): entered,
                **{name: body[name] for name in _PROPERTIES if name in body},
            },
        }
        for body in bodies
        for of, entered in _sides(body)
    ]
    content = json.dumps({"batch": batch, "sentAt": at.isoformat()}, separators=(",", ":"), ensure_ascii=False)
    basic = base64.b64encode(f"{key}:".encode()).decode()
    return Request(
        "/v1/batch", content.encode(), {"Content-Type": "application/json", "Authorization": f"Basic {basic}"}
    )


def _sides(body: Body) -> list[tuple[str, bool]]:
    """What was left and what was entered."""
    dimension = Dimension(body["dimension"])
    sides = [
        (str(body[key]), entered) for key, entered in (("before", False), ("after", True)) if body[key] is not None
    ]
    return [(dimension.named(value), entered) for value, entered in sides]


def notice(bodies: Sequence[Body]) -> str:
    """A few lines for the team: how many entered and left what, and why."""
    counts: dict[tuple[str, str], dict[str, int]] = {}
    for body in bodies:
        for of, entered in _sides(body):
            causes = counts.setdefault((Dimension(of).of.replace("_", " "), "entered" if entered else "left"), {})
            causes[str(body["cause"])] = causes.get(str(body["cause"]), 0) + 1
    lines = []
    for (of, what), causes in counts.items():
        users = sum(causes.values())
        why = ", ".join(f"{cause.replace('_', ' ')} {n:,}" for cause, n in sorted(causes.items()))
        lines.append(f"{users:,} {'user' if users == 1 else 'users'} {what} {of} ({why})")
    return "\n".join(lines)
