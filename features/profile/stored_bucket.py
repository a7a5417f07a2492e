"""Users of a bucket of the kept profiles, and what becomes of them when they are folded on."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import polars as pl

from features.profile.codec import ALONE, STAMP, Identity, stored_bytes, stored_through, stored_words
from features.profile.layers import SCHEMA
from features.profile.stored_traits import Known
from features.rows import INSTANT

Folded: TypeAlias = dict[str, tuple[int, bytes | None]]
"""Of each user ``ahead`` and the packed profile."""


@dataclass(frozen=True, slots=True)
class StoredBucket:
    """Users of a bucket as they were.

    Attributes:
        row: the index of each user.
        ahead: of each the first cutoff that sees an event not folded in yet.
        values: what the online store holds of each.
    """

    row: dict[str, int]
    ahead: list[int]
    values: list[bytes | None]

    @classmethod
    def of(cls, frame: pl.DataFrame) -> "StoredBucket":
        """Users of their rows, `SCHEMA`."""
        return cls(
            {user: i for i, user in enumerate(frame["user"].to_list())},
            frame["ahead"].to_list(),
            frame["profile"].to_list(),
        )

    def folded(self, user: str) -> tuple[int, bytes | None]:
        """A user's ``ahead`` and packed profile."""
        value = self.values[self.row[user]]
        return self.ahead[self.row[user]], stored_words(value) if value is not None else None

    def after(
        self, folded: Folded, known: Known, through: int, live: int, identities: Mapping[str, Identity]
    ) -> tuple[pl.DataFrame, pl.Series]:
        """Rows of folded users, and which of them changed; who is what they were keeps the value as it was."""
        values: list[bytes | None] = []
        changed: list[bool] = []
        for user, (_, words) in folded.items():
            was = self.values[self.row[user]] if user in self.row else None
            traits, visible_from = known.get(user, ("", 0))
            identity = identities.get(user, ALONE)
            value = None if words is None else stored_bytes(through, words, traits, live, visible_from, identity)
            same = value == was if value is None or was is None else value[STAMP:] == was[STAMP:]
            values.append(was if same else value)
            changed.append(not same)
        since = [through if value is None else stored_through(value) for value in values]
        columns = {
            "user": list(folded),
            "through": since,
            "ahead": [ahead for ahead, _ in folded.values()],
            "profile": values,
        }
        return pl.DataFrame(columns, schema_overrides=SCHEMA).with_columns(pl.col("through").cast(INSTANT)).select(
            SCHEMA.names()
        ), pl.Series(changed, dtype=pl.Boolean)

    def gone(self, users: Iterable[str], through: int, live: int, identities: Mapping[str, Identity]) -> pl.DataFrame:
        """What the online store gets of users who are no longer there."""
        lost = [user for user in users if self.values[self.row[user]] is not None]
        values = [stored_bytes(through, b"", "", live, identity=identities.get(user, ALONE)) for user in lost]
        return pl.DataFrame({"user": lost, "profile": values}, schema={"user": pl.String(), "profile": pl.Binary()})
