"""A user's history: what they are, since when, and every move with its cause."""

from collections.abc import Mapping
from datetime import datetime

from pydantic import BaseModel, ConfigDict

from features.time import to_datetime
from segments.transitions.transition import Cause, Transition
from serving.activation.memberships import Memberships
from serving.scoring.online import Answers
from serving.scoring.record import ScoreRecord


class Part(BaseModel):
    """A part of the history."""

    model_config = ConfigDict(frozen=True)


class Membership(Part):
    """What a user is in one dimension, and since when.

    Attributes:
        value: the state, group or tier, or ``in``.
        since: since when.
    """

    value: str
    since: datetime


class TransitionRecord(Part):
    """One transition.

    Attributes:
        id: its number; request later transitions with ``after``.
        user_id: the user's id.
        at: the instant of the scoring that found it.
        dimension: ``states``, ``rfm``, ``tiers.<outcome>`` or ``segments.<name>``.
        before: the state, group or tier before, or ``in``; null for none.
        after: the state, group or tier after, or ``in``; null for none.
        cause: ``behaviour``, ``time``, ``new_model``, ``new_definition``, ``merged`` or ``erased``.
        scores_before: likelihoods before, by outcome.
        scores_after: likelihoods after, by outcome.
        models: the model of each outcome: its version, `@`, and 12 digits of its card's digest.
        definition: name and digest of the definition.
    """

    id: int
    user_id: str
    at: datetime
    dimension: str
    before: str | None
    after: str | None
    cause: Cause
    scores_before: Mapping[str, float]
    scores_after: Mapping[str, float]
    models: Mapping[str, str]
    definition: str

    @classmethod
    def of(cls, transition: Transition) -> "TransitionRecord":
        """The record of a transition."""
        t = transition
        return cls(
            id=t.id, user_id=t.user, at=to_datetime(t.at), dimension=t.dimension, before=t.before, after=t.after,
            cause=t.cause, scores_before=t.scores_before, scores_after=t.scores_after, models=t.models,
            definition=t.definition,
        )  # fmt: skip


class UserHistory(Part):
    """Everything kept about a user.

    Attributes:
        user_id: the user's id.
        record: the score record of now, with reasons; null when no profile is stored.
        memberships: what the user is by dimension; they change less often than the record, by ``min_dwell`` and
            ``transitions.margin``.
        transitions: the user's transitions, the newest first.
        both_arms: the dimensions in which the user was acted on under one id and held out under another, before the
            two were known to be one person.
    """

    user_id: str
    record: ScoreRecord | None
    memberships: dict[str, Membership]
    transitions: list[TransitionRecord]
    both_arms: list[str] = []


def history_of(
    user: str, now: datetime, answers: Answers, memberships: Memberships, *, limit: int, reasons: int
) -> UserHistory:
    """Put a user's history together.

    Args:
        user: the id; one that belongs to another user now is answered with that user's history.
        now: the instant of the record.
        answers: scores.
        memberships: memberships and transitions.
        limit: how many transitions at most.
        reasons: how many reasons a likelihood.
    """
    records = answers.score([user], now, reasons, latest=True).records
    user = records[0].user_id if records else user
    current = memberships.user(user)
    values = current.held if current is not None else {}
    return UserHistory(
        user_id=user,
        record=records[0] if records else None,
        memberships={
            name: Membership(value=value, since=to_datetime(since)) for name, (value, since) in values.items()
        },
        transitions=[TransitionRecord.of(t) for t in memberships.history(user=user, limit=limit, newest=True)],
        both_arms=sorted(memberships.mixed([user]).get(user, ())),
    )
