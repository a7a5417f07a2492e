"""Some rows of a log in our terms, checked, and counts of rows by reason."""

from dataclasses import dataclass, field

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from features.engines.rows import DROPS
from features.reading.findings import Findings

#: rows that say that two ids are of one person: ``alias`` belongs to ``user``, happened at ``t`` and is seen from
#: ``visible`` on
BOTH_IDS = pl.Schema({"alias": pl.String(), "user": pl.String(), "t": pl.Int64(), "visible": pl.Int64()})
NO_MERGES = BOTH_IDS.to_frame()

#: reasons for which a row is left out and can still say who somebody is: that it fires no signal
STILL = (-1, DROPS.index("no signal"))


@dataclass(frozen=True, slots=True)
class Batch:
    """Some rows of a file, checked.

    Attributes:
        table: ``user, t, visible, id, mask, v0…``, kept rows and dropped ones.
        dropped: for each row an index into `DROPS`, or -1 where it is kept.
        keys: a hash of each row's user, 0 where there is none.
        findings: what of the rows could not be read, or is doubtful.
        both: the first row of each pair of ids that are of one person, `BOTH_IDS`.
    """

    table: pa.Table
    dropped: NDArray[np.int32]
    keys: NDArray[np.int64]
    findings: Findings = field(default_factory=dict)
    both: pl.DataFrame = field(default_factory=lambda: NO_MERGES)

    def kept(self) -> pa.Table:
        """The kept rows."""
        whole = bool((self.dropped < 0).all())
        return self.table if whole else self.table.filter(pa.array(self.dropped < 0))

    def counts(self) -> dict[str, int]:
        """All rows, and the dropped ones by reason."""
        return {"rows": self.table.num_rows, **counted(np.bincount(self.dropped + 1, minlength=len(DROPS) + 1)[1:])}


def counted(found: NDArray[np.int64]) -> dict[str, int]:
    """Dropped rows by reason; implausible times only where there are any."""
    counts = dict(zip(DROPS, found.tolist(), strict=True))
    return {reason: n for reason, n in counts.items() if n or reason != "implausible time"}


def add(counts: dict[str, int], more: dict[str, int]) -> dict[str, int]:
    """Add counts by name."""
    return {name: counts.get(name, 0) + more.get(name, 0) for name in {**counts, **more}}


def merges_in(table: pa.Table) -> pl.DataFrame:
    """The first of the rows of each pair of ids; `BOTH_IDS`.

    Args:
        table: ``user, t, visible, dropped, alias``.
    """
    rows = pl.DataFrame(table.select(["alias", "user", "t", "visible", "dropped"]))
    both = rows.filter(pl.col("dropped").is_in(STILL) & (pl.col("alias") != pl.col("user")))
    first = both.sort("visible", "t").unique(["alias", "user"], keep="first")
    return first.select(pl.col(name).cast(dtype) for name, dtype in BOTH_IDS.items())
