"""People among events: a person is a set of ids for as long as it is the same set, and another one after a merge."""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from features.time import Instants


@dataclass(frozen=True, slots=True)
class Spans:
    """Of which cutoffs each user of `Events` is a person; one name can stand there several times.

    Attributes:
        since: user ``u`` is a person at the cutoffs ``[since[u], until[u])``.
        until: the end of that.
        ids: all ids, each as often as there are persons that it belongs to.
        places: of each of them the person, an index of users.
    """

    since: Instants
    until: Instants
    ids: pl.Series
    places: NDArray[np.int64]

    def take(self, chosen: NDArray[np.int64]) -> "Spans":
        """Those of some users, ascending."""
        at = np.full(self.since.size, -1, dtype=np.int64)
        at[chosen] = np.arange(chosen.size)
        places = at[self.places]
        kept = places >= 0
        return Spans(self.since[chosen], self.until[chosen], self.ids.filter(pl.Series(kept)), places[kept])

    def place_of(self, users: pl.Series, at: Instants) -> NDArray[np.int64]:
        """To which person each of some ids belongs at an instant of its own; -1 where it is not here."""
        asked = pl.DataFrame({"id": users.cast(pl.String), "at": at}).with_row_index("row")
        known = pl.DataFrame(
            {"id": self.ids, "place": self.places, "since": self.since[self.places], "until": self.until[self.places]}
        ).sort("since")
        found = asked.sort("at").join_asof(
            known, left_on="at", right_on="since", by="id", strategy="backward", check_sortedness=False
        )
        place = pl.when(pl.col("at") < pl.col("until")).then(pl.col("place")).fill_null(-1)
        return found.with_columns(place=place).sort("row")["place"].to_numpy().astype(np.int64)
