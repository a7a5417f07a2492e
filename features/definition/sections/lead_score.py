"""A lead score: points that people give by hand, for what users do and are."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from features.definition.sections.base import Name, Span, Sql, Strict
from features.time import span_name


class Points(Strict):
    """Points for each event of a signal, or for users for whom a predicate holds.

    Attributes:
        signal: the signal to count: in the last ``within``, or fading with ``half_life``, or ever.
        when: a predicate over the feature row and the state, instead of ``signal``.
        points: the points for each event, or for a user for whom the predicate holds; below 0 takes points away.
        half_life: how fast the count fades; one of the definition's ``half_lives``.
        within: how far the count looks back; one of the definition's ``windows``.
        max_points: the most points this line gives (the fewest, if ``points`` is below 0).
        about: the line in words.
    """

    signal: Name | None = None
    when: Sql | None = None
    points: float
    half_life: Span | None = None
    within: Span | None = None
    max_points: float | None = None
    about: str = ""

    @model_validator(mode="after")
    def _one_thing(self) -> Self:
        if (self.signal is None) == (self.when is None):
            raise ValueError("say exactly one of 'signal' and 'when'")
        if self.when is not None and (self.half_life or self.within or self.max_points is not None):
            raise ValueError("'half_life', 'within' and 'max_points' go with 'signal'")
        if self.half_life and self.within:
            raise ValueError("say one of 'half_life' and 'within', or neither to count all of them")
        if self.max_points is not None and (self.max_points - self.points) * self.points < 0:
            raise ValueError(f"'max_points' is {self.max_points:g}, and one time already gives {self.points:g}")
        return self

    @property
    def column(self) -> str | None:
        """The feature that counts the signal; None for a predicate."""
        if self.signal is None:
            return None
        if self.half_life:
            return f"{self.signal}_decayed_{span_name(self.half_life)}"
        return f"{self.signal}_count_{span_name(self.within) if self.within else 'total'}"

    @property
    def sql(self) -> str:
        """The points as an expression."""
        if self.when is not None:
            return f"CASE WHEN {self.when} THEN {self.points!r} ELSE 0.0 END"
        given = f"{self.column} * {self.points!r}"
        if self.max_points is None:
            return f"COALESCE({given}, 0.0)"
        beyond = ">" if self.points > 0 else "<"
        return (
            f"COALESCE(CASE WHEN {given} {beyond} {self.max_points!r} THEN {self.max_points!r} ELSE {given} END, 0.0)"
        )

    @property
    def words(self) -> str:
        """What the points are for."""
        if self.about or self.when is not None:
            return self.about or str(self.when)
        fading = f", fading over {span_name(self.half_life)}" if self.half_life else ""
        within = f" in the last {span_name(self.within)}" if self.within else ""
        most = f", at most {self.max_points:g}" if self.max_points is not None else ""
        return f"{self.signal}{within}{fading}: {self.points:g} each{most}"


class LeadScore(Strict):
    """Points that add up, and the number of points from which on a user qualifies.

    Attributes:
        outcome: the outcome whose likelihood is shown beside the score, and whose past answers judge it.
        points: the lines that give points.
        threshold: the number of points from which on a user qualifies.
    """

    outcome: Name
    points: Annotated[list[Points], Field(min_length=1)]
    threshold: float
