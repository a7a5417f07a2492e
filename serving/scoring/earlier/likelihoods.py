"""Likelihoods of an earlier batch, spread by user: each run of users reads its own, not everybody's."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.ipc as ipc

from features.events.group_files import GroupFiles
from features.events.hashing import bucket_of, hashed, hashed_names
from features.events.log import Log
from features.events.sort import grouped
from features.system.files.durable import new_folder, remove_folder
from features.system.files.places import Place
from serving.scoring.earlier.batch import Earlier, answers_of

#: files that are open at once while answers are spread
MOST = 256

#: users of a file
USERS = 20_000


@dataclass(frozen=True, slots=True)
class EarlierByUser:
    """Likelihoods of an earlier batch; it can be sent to other machines.

    Attributes:
        as_of: the instant they speak of.
        place: holds them, those of a user in one file.
        files: how many files there are at most.
    """

    as_of: datetime
    place: Place
    files: int

    def of(self, users: Sequence[str]) -> dict[str, pl.DataFrame]:
        """The likelihoods, by outcome; see `Earlier.of`."""
        asked = pl.DataFrame({"user_id": list(users)}, schema={"user_id": pl.String})
        found = [self._read(file) for file in np.unique(bucket_of(hashed_names(users), self.files)).tolist()]
        there = [rows for rows in found if rows is not None]
        return answers_of(asked, pl.concat(there)) if there else {}

    def _read(self, file: int) -> pl.DataFrame | None:
        try:
            with self.place.reading(str(file)) as source, ipc.open_stream(source) as stream:
                return pl.DataFrame(stream.read_all())
        except FileNotFoundError:
            return None


@contextmanager
def by_user(earlier: Earlier | None, log: Log) -> Iterator[EarlierByUser | None]:
    """Spread a batch's likelihoods by user, beside its scores, for as long as the block lasts.

    Args:
        earlier: the batch; None where there is none.
        log: on whose machines they are looked up.

    Raises:
        StoreError, UnavailableError: as for `Earlier.parts`.
    """
    if earlier is None:
        yield None
        return
    scratch = earlier.path.with_name(f"{earlier.path.name}.spread.new")
    remove_folder(scratch)
    new_folder(scratch)
    try:
        files = _spread(earlier, scratch)
        yield EarlierByUser(earlier.as_of, log.seen(scratch), files)
    finally:
        remove_folder(scratch)


def _spread(earlier: Earlier, folder: Path) -> int:
    """Append the likelihoods of each part to the files of its users; returns how many files there may be."""
    with earlier.parts() as parts, GroupFiles(folder) as groups:
        if not parts or "intent" not in parts[0]().collect_schema():
            return 1  # amounts alone were asked for
        users = sum(int(part().select(pl.len()).collect().item()) for part in parts)
        files = min(MOST, -(-users // USERS))
        for part in parts:
            table = part().select("user_id", "intent").collect().to_arrow()
            order, starts = grouped(bucket_of(hashed(table["user_id"]), files), files)
            groups.append(table.take(pa.array(order)).combine_chunks(), starts)
    return files
