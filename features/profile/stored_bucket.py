"""A bucket of the kept profiles, and what becomes of it when its users are folded on."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import polars as pl

from features.profile.codec import ALONE, STAMP, Identity, stored_bytes, stored_through, stored_words
from features.rows import INSTANT

#: what a bucket's file holds; ``ahead`` is the first cutoff that sees an event not folded in yet, ``profile`` what the
#: online store holds, null before anything of the user can be seen
SCHEMA = pl.Schema({"user": pl.String(), "through": INSTANT, "ahead": pl.Int64(), "profile": pl.Binary()})
Folded: TypeAlias = dict[str, tuple[int, bytes | None]]
"""Of each user ``ahead`` and the packed profile."""

#: each user's attributes as JSON, and the first cutoff that sees them
TRAITS = pl.Schema({"user": pl.String(), "traits": pl.String(), "visible_from": pl.Int64()})
Known: TypeAlias = dict[str, tuple[str, int]]


def kept_traits(path: Path) -> pl.LazyFrame:
    """A kept file of attributes, `TRAITS`, also one of an older version, which called ``visible_from`` ``told``."""
    return pl.scan_parquet(path).rename({"told": "visible_from"}, strict=False)


@dataclass(frozen=True, slots=True)
class StoredBucket:
    """A bucket as it was.

    Attributes:
        frame: its rows, `SCHEMA`.
        row: the index of each user's row.
        ahead: its column of that name.
        values: what the online store holds of each.
    """

    frame: pl.DataFrame
    row: dict[str, int]
    ahead: list[int]
    values: list[bytes | None]

    @classmethod
    def of(cls, frame: pl.DataFrame) -> "StoredBucket":
        """A bucket of its rows, `SCHEMA`."""
        return cls(
            frame,
            {user: i for i, user in enumerate(frame["user"].to_list())},
            frame["ahead"].to_list(),
            frame["profile"].to_list(),
        )

    def folded(self, user: str) -> tuple[int, bytes | None]:
        """A user's ``ahead`` and packed profile."""
        value = self.values[self.row[user]]
        return self.ahead[self.row[user]], stored_words(value) if value is not None else None

    def without(self, users: Iterable[str]) -> pl.DataFrame:
        """The rows of all others."""
        keep = np.ones(len(self.frame), dtype=np.bool_)
        keep[[self.row[user] for user in users if user in self.row]] = False
        return self.frame.filter(keep)

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

    def gone(self, every: pl.DataFrame, through: int, live: int, identities: Mapping[str, Identity]) -> pl.DataFrame:
        """What the online store gets of users who are no longer there."""
        # without merges users only come, unless some were erased
        same = len(every) == len(self.frame) and self.row and not identities
        there = self.row if same else set(every["user"])
        lost = [user for user, i in self.row.items() if user not in there and self.values[i] is not None]
        values = [stored_bytes(through, b"", "", live, identity=identities.get(user, ALONE)) for user in lost]
        return pl.DataFrame({"user": lost, "profile": values}, schema={"user": pl.String(), "profile": pl.Binary()})
