"""Tables whose rows are spread over files by group, appended batch by batch."""

from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

import numpy as np
import pyarrow as pa
import pyarrow.ipc as ipc
from numpy.typing import NDArray


class GroupFiles:
    """One stream of Arrow rows a group, in a folder; closed at the end of the block.

    Args:
        folder: holds the files, each called by the number of its group.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._opened = folder, ExitStack()
        self._writers: dict[int, ipc.RecordBatchStreamWriter] = {}

    def __enter__(self) -> "GroupFiles":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._opened.__exit__(kind, error, trace)

    @property
    def groups(self) -> list[int]:
        """The groups that have rows."""
        return sorted(self._writers)

    def append(self, rows: pa.Table, starts: NDArray[np.int64]) -> None:
        """Append rows to the files of their groups.

        Args:
            rows: those of each group together, in the order of the groups; of one schema each time.
            starts: ``[groups + 1]``: where those of each group begin, as `features.events.sort.grouped` has it.
        """
        for group in np.flatnonzero(np.diff(starts)).tolist():
            if group not in self._writers:
                sink = self._opened.enter_context((self._folder / str(group)).open("wb"))
                self._writers[group] = self._opened.enter_context(ipc.new_stream(sink, rows.schema))
            self._writers[group].write_table(rows.slice(starts[group], starts[group + 1] - starts[group]))
