"""Users of a bucket of the kept profiles, and what becomes of them when they are folded on."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import pyarrow as pa

from features.profile.codec import ALONE, STAMP, Identity, stored_bytes, stored_through, stored_words
from features.profile.layers import SCHEMA
from features.profile.stored_traits import Known

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
    def of(cls, rows: pa.Table) -> "StoredBucket":
        """Users of their rows, `SCHEMA`."""
        users = rows["user"].to_pylist()
        return cls({user: i for i, user in enumerate(users)}, rows["ahead"].to_pylist(), rows["profile"].to_pylist())

    def folded(self, user: str) -> tuple[int, bytes | None]:
        """A user's ``ahead`` and packed profile."""
        value = self.values[self.row[user]]
        return self.ahead[self.row[user]], stored_words(value) if value is not None else None

    def after(
        self, folded: Folded, known: Known, through: int, live: int, identities: Mapping[str, Identity]
    ) -> tuple[pa.Table, dict[str, bytes]]:
        """Rows of folded users, and the values that changed; who is what they were keeps the value as it was."""
        values: list[bytes | None] = []
        since: list[int] = []
        changed: dict[str, bytes] = {}
        for user, (_, words) in folded.items():
            was = self.values[self.row[user]] if user in self.row else None
            traits, visible_from = known.get(user, ("", 0))
            identity = identities.get(user, ALONE)
            value = None if words is None else stored_bytes(through, words, traits, live, visible_from, identity)
            if was is not None and value is not None and value[STAMP:] == was[STAMP:]:
                values.append(was)
                since.append(stored_through(was))
                continue
            values.append(value)
            since.append(through)
            if value is not None:
                changed[user] = value
        ahead = [ahead for ahead, _ in folded.values()]
        return pa.table([list(folded), since, ahead, values], schema=SCHEMA), changed

    def gone(
        self, users: Iterable[str], through: int, live: int, identities: Mapping[str, Identity]
    ) -> dict[str, bytes]:
        """What the online store gets of users who are no longer there."""
        lost = [user for user in users if self.values[self.row[user]] is not None]
        return {user: stored_bytes(through, b"", "", live, identity=identities.get(user, ALONE)) for user in lost}
