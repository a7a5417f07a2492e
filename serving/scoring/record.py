"""The score record: everything reported about a user, the same from the API and from the batch."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict

from segments.tiers import Tier, UpliftTier, ValueTier


class Part(BaseModel):
    """A part of the record."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Reason(Part):
    """Why a likelihood is what it is.

    Attributes:
        feature: the column.
        value: its value; null when there is none.
        effect: what it adds to the log-odds, or to the logarithm of an amount, compared with the average user.
        text: the reason in words.
    """

    feature: str
    value: float | str | None
    effect: float
    text: str


class Move(Part):
    """A reason of the earlier score, and how it changed.

    Attributes:
        feature: the column.
        value: its value now; null when there is none, and for traits, whose values are in the text.
        before: its value then; null as above.
        effect: what it adds to the log-odds now, minus what it added then.
        text: the change in words.
    """

    feature: str
    value: float | str | None
    before: float | None
    effect: float
    text: str


class Change(Part):
    """What changed since the newest earlier scores.

    Attributes:
        since: the instant of the earlier scores.
        probability: the earlier probability; null when there was not enough to say.
        model: the model version that gave it.
        moved: the earlier reasons whose effect changed most; empty when no reasons were kept.
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
        tier: the tier, by the cut-offs frozen in the model card.
        why: the reason when there is not enough to say: ``outside_population``, ``stale_profile``, ``short_history``,
            ``outside_trained_range``, ``no_model``, or the code of the error for which the champion is not served, such
            as ``model_damaged``.
        detail: which feature lies outside the range that the model was fitted on, and how far.
        extrapolated: the feature that lies furthest outside the range, if there is an answer all the same: the feature
            counts as the end of the range, except for BG/NBD, which reads it as it is.
        model: name and version of the model.
        reasons: the strongest reasons, if requested.
        change: what changed since the newest earlier scores, if requested and if there are earlier scores.
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
        amount: the expected amount, in the unit of the signal's value; null when there is not enough to say.
        percentile: as in `Intent`.
        tier: the tier, by the cut-offs frozen in the model card.
        why: as in `Intent`.
        detail: as in `Intent`.
        extrapolated: as in `Intent`.
        model: as in `Intent`.
        reasons: as in `Intent`.
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
    """One line of a lead score.

    Attributes:
        what: the line in words.
        times: how often the signal was counted, faded if it fades; null for a predicate.
        points: the points it gave.
    """

    what: str
    times: float | None
    points: float


class Lead(Part):
    """A lead score, point by point.

    Attributes:
        points: the sum.
        threshold: the number of points from which on a user qualifies.
        qualifies: whether the user qualifies.
        outcome: the outcome whose likelihood to read beside it.
        lines: the lines that gave points.
    """

    points: float
    threshold: float
    qualifies: bool
    outcome: str
    lines: list[Line]


class Uplift(Part):
    """Who is moved by acting, as a finished experiment has shown it.

    Attributes:
        predicted: by how much acting is predicted to change the probability of what the experiment wants, which ranks
            users; null when there is not enough to say.
        effect: by how much it was seen to change it for the fifth of the experiment's users that is like this user.
        low: the lower end of the effect's interval.
        high: the upper end of the effect's interval.
        tier: what that means: ``persuadable``, ``sure_thing``, ``lost_cause``, ``do_not_disturb`` or ``unsure``.
        why: the reason when there is not enough to say: ``no_model`` (no uplift model of the experiment serves),
            ``stale_profile``, ``short_history``, ``outside_trained_range`` (unlike the users of the experiment),
            ``feature_digest_mismatch`` or ``other_experiment`` (learnt under another definition: run propensity uplift
            again), or the code of the error for which the model is not served.
        model: name and version of the model.
        variant: the variant whose effect it is.
    """

    predicted: float | None
    effect: float | None
    low: float | None
    high: float | None
    tier: UpliftTier
    why: str | None = None
    model: str | None
    variant: str | None


class ValueToDate(Part):
    """What a user has been worth so far.

    Attributes:
        total: the value of all their orders.
        average: the average value of an order; null before the first.
        every_days: the average number of days between two days with an order; null before the second.
    """

    total: float
    average: float | None
    every_days: float | None


class Rfm(Part):
    """RFM scores and the group; null for users who were not active in the window.

    Attributes:
        group: one of the ten named groups.
        r: the recency score, 1 to 5.
        f: the frequency score, 1 to 5.
        m: the money score, 1 to 5; null without ``rfm.money``.
        score: 4 × r + 2 × f + m.
    """

    group: str | None
    r: int | None
    f: int | None
    m: int | None
    score: int | None


class ScoreRecord(Part):
    """Everything reported about one user at one instant.

    Attributes:
        user_id: the user's id.
        as_of: the instant the record is about.
        last_seen: when the user's newest signal happened.
        state: one of the definition's states.
        rfm: the RFM group and scores.
        intent: the answer to each outcome's question, by name.
        value: the answer to each value outcome's question, by name.
        segments: the segments the user is in.
        holdout: the segments in which the user is held out, so that the effect of acting can be measured.
        leads: lead scores, by name.
        value_to_date: the user's value so far; null if the definition has no money.
        uplift: who is moved by acting, by experiment; of experiments that are judged by a yes or no.
        definition: name and digest of the definition.
    """

    user_id: str
    as_of: datetime
    last_seen: datetime
    state: str | None
    rfm: Rfm
    intent: dict[str, Intent]
    value: dict[str, Value] = {}
    segments: list[str]
    holdout: list[str] = []
    leads: dict[str, Lead] = {}
    value_to_date: ValueToDate | None = None
    uplift: dict[str, Uplift] = {}
    definition: str
