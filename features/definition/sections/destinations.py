"""Settings of transitions and destinations: what is reported, when, and to whom."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from features.definition.dimension import Dimension
from features.definition.sections.base import Span, Strict, not_set
from features.time import DAY


class Transitions(Strict):
    """How long a membership lasts at least, and who is held out.

    Attributes:
        min_dwell: the minimum dwell time: a user who entered an RFM group, a tier, or a segment that uses one is not
            reported to have left it before this time is over. States and other segments have none unless they set one.
        margin: a user leaves a tier only when the odds, or the amount, lie beyond the cut-off by this share.
        holdout: the share of each segment's users who are left out of the hand-off.
        holdouts: the same of ``states``, ``rfm`` and ``tiers.OUTCOME`` where it is another, by name; a segment has its
            own ``holdout``.
    """

    min_dwell: Span = DAY
    margin: Annotated[float, Field(ge=0, le=1)] = 0.1
    holdout: Annotated[float, Field(ge=0, le=0.5)] = 0.05
    holdouts: dict[str, Annotated[float, Field(ge=0, le=0.5)]] = Field(default_factory=dict, exclude_if=not_set)


class Destination(Strict):
    """A tool that receives transitions.

    Attributes:
        kind: ``webhook`` (signed by the Standard Webhooks specification), ``audience`` (Segment's ``Audience Entered``
            and ``Audience Exited`` track events), or ``notice`` (a message to the team, through Apprise).
        url: the address; ``${NAME}`` comes from the environment when a request is sent, so that secrets stay out of
            this file.
        secret: the environment variable that holds a webhook's signing secret, or an audience's write key.
        of: what is sent: ``segments.NAME``, ``states.NAME``, ``tiers.OUTCOME``, ``rfm``, or ``segments``,
            ``states`` and ``tiers`` for all of them.
        batch: the largest number of transitions in one request.
        rate: the largest number of requests a second.
        timeout: after how many seconds without an answer a request counts as failed; it is tried again.
        give_up: how long a message is tried before it becomes a dead letter.
        allow_private: whether the address may belong to a private network.
    """

    kind: Literal["webhook", "audience", "notice"]
    url: Annotated[str, Field(min_length=1)]
    secret: Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9_]*$")] | None = None
    of: Annotated[list[str], Field(min_length=1)]
    batch: Annotated[int, Field(ge=1, le=1_000)] = 100
    rate: Annotated[float, Field(gt=0, le=1_000)] = 10.0
    timeout: Annotated[float, Field(gt=0, le=30)] = 10.0
    give_up: Span = 3 * DAY
    allow_private: bool = False

    @model_validator(mode="after")
    def _signed(self) -> Self:
        if (self.kind == "notice") != (self.secret is None):
            need = "has no 'secret'; its url holds it" if self.secret else "needs 'secret', a variable's name"
            raise ValueError(f"a {self.kind} {need}")
        if self.kind != "notice" and not self.url.startswith(("https://", "http://", "${")):
            raise ValueError(f"'url' must begin with https://, http:// or ${{NAME}}, found {self.url!r}")
        return self

    def wants(self, dimension: str, before: str | None, after: str | None) -> bool:
        """Whether a transition of a dimension is sent here; a state's own name wants who enters or leaves it."""
        kind = Dimension(dimension).kind
        return not {dimension, kind, f"{kind}.{before}", f"{kind}.{after}"}.isdisjoint(self.of)
