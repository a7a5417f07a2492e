"""The score record: what is said of a user, the same from the API and from the batch."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict

from segments.tiers import Tier, ValueTier


class Part(BaseModel):
    """A part of the record."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Reason(Part):
    """Why a likelihood is what it is.

    Attributes:
        feature: the column.
        value: its value; null when there is none.
        effect: what it adds to the log-odds, or to the logarithm of an amount, against the average user.
        text: the same in words.
    """

    feature: str
    value: float | str | None
    effect: float
    text: str


class Move(Part):
    """One of the reasons then, and what became of it.

    Attributes:
        feature: the column.
        value, before: now and then; null where there is none, and for traits, which the text tells.
        effect: what it adds to the log-odds now, less what it added then.
        text: the same in words.
    """

    feature: str
    value: float | str | None
    before: float | None
    effect: float
    text: str


class Change(Part):
    """What changed since the newest earlier scores.

    Attributes:
        since: the instant they speak of.
        probability: what was said then; null when there was not enough to say.
        model: that said it.
        moved: the reasons of then whose effect moved most; empty where none were kept.
    """

    since: datetime
    probability: float | None
    model: str | None
    moved: list[Move] = []


class Intent(Part):
    """The answer to one outcome's question.

    Attributes:
        probability: calibrated; null when there is not enough to say.
        percentile: 0 to 100, among the users the model was calibrated on.
        tier: by the cut-offs frozen in the model card.
        why: when there is not enough to say: ``outside_population``, ``stale_profile``, ``short_history``,
            ``outside_trained_range``, ``no_model``, or the code of the error for which the champion is not served, such
            as ``model_damaged``.
        detail: which feature lies outside the range that was fitted on, and how far; also where an answer is given.
        extrapolated: the feature that lies furthest outside, where an answer is given all the same: as of somebody at
            the end of the range.
        model: name and version of the model.
        reasons: the strongest, when asked for.
        change: what changed since the newest earlier scores, when asked for and there are some.
    """

    probability: float | None
    percentile: int | None
    tier: Tier
    why: str | None = None
    detail: str | None = None
    extrapolated: str | None = None
    model: str | None
    reasons: list[Reason] = []
    change: Change | None = None


class Value(Part):
    """The answer to one value outcome's question.

    Attributes:
        amount: what is expected, in the unit of the signal's value; null when there is not enough to say.
        percentile, why, detail, extrapolated, model, reasons: as of `Intent`.
        tier: by the cut-offs frozen in the model card.
    """

    amount: float | None
    percentile: int | None
    tier: ValueTier
    why: str | None = None
    detail: str | None = None
    extrapolated: str | None = None
    model: str | None
    reasons: list[Reason] = []


class Line(Part):
    """What a lead score gave points for.

    Attributes:
        what: in words.
        times: how often, fading where it fades; null for a predicate.
        points: what it gave.
    """

    what: str
    times: float | None
    points: float


class Lead(Part):
    """A lead score, point by point.

    Attributes:
        points: the sum.
        threshold: from here on a user qualifies.
        qualifies: whether they do.
        outcome: beside whose likelihood it is to be read.
        lines: what there were points for.
    """

    points: float
    threshold: float
    qualifies: bool
    outcome: str
    lines: list[Line]


class WorthSoFar(Part):
    """What a user has been worth so far.

    Attributes:
        total: the value of all their orders.
        average: of an order; null before the first.
        every_days: days between two days with one, on average; null before the second.
    """

    total: float
    average: float | None
    every_days: float | None


class Rfm(Part):
    """RFM scores 1 to 5 and the group; null for users who were not active in the window."""

    group: str | None
    r: int | None
    f: int | None
    m: int | None
    score: int | None


class ScoreRecord(Part):
    """Everything said of one user at one instant.

    Attributes:
        user_id: the id.
        as_of: the instant.
        seen: when the user last did something that is a signal.
        state: one of the definition's states.
        rfm: the RFM group and scores.
        intent: an answer to each outcome's question.
        value: an answer to each value outcome's question.
        segments: the segments the user is in.
        leads: lead scores, by name.
        worth: value so far, of the definition's money; null where it has none.
        holdout: those of them in which the user is left alone, so that what acting does can be measured.
        definition: name and digest of the definition.
    """

    user_id: str
    as_of: datetime
    seen: datetime
    state: str | None
    rfm: Rfm
    intent: dict[str, Intent]
    value: dict[str, Value] = {}
    segments: list[str]
    holdout: list[str] = []
    leads: dict[str, Lead] = {}
    worth: WorthSoFar | None = None
    definition: str
