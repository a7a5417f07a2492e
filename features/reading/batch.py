"""Some rows of a log in our terms, checked, and counts of rows by reason."""

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from features.engines.rows import DROPS
from features.reading.findings import Findings


@dataclass(frozen=True, slots=True)
class Batch:
    """Some rows of a file, checked.

    Attributes:
        table: ``user, t, visible, id, mask, v0…``, kept rows and dropped ones.
        dropped: for each row an index into `DROPS`, or -1 where it is kept.
        keys: a hash of each row's user, 0 where there is none.
        findings: what of the rows could not be read, or is doubtful.
    """

    table: pa.Table
    dropped: NDArray[np.int32]
    keys: NDArray[np.int64]
    findings: Findings = field(default_factory=dict)

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
