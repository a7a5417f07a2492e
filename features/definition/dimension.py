"""Dimensions: what a user has one value of at a time."""

from typing import Self


class Dimension(str):
    """A dimension by its name: ``states``, ``rfm``, ``tiers.<outcome>`` or ``segments.<segment>``.

    It is text, as in messages, tables and destinations; this is the one place that knows how the text is made.
    """

    __slots__ = ()

    @classmethod
    def tier(cls, outcome: str) -> Self:
        """The tier of an outcome."""
        return cls(f"tiers.{outcome}")

    @classmethod
    def segment(cls, name: str) -> Self:
        """Being in a segment, or not."""
        return cls(f"segments.{name}")

    @property
    def kind(self) -> str:
        """``states``, ``rfm``, ``tiers`` or ``segments``."""
        return self.partition(".")[0]

    @property
    def of(self) -> str:
        """The outcome or the segment; empty for the others."""
        return self.partition(".")[2]

    def named(self, value: str) -> str:
        """A value with its dimension: ``states.new``, ``tiers.churn.most_likely``; a segment has one value."""
        return str(self) if self.kind == "segments" else f"{self}.{value}"


STATES, RFM = Dimension("states"), Dimension("rfm")
