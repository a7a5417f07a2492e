"""Everybody of the newest batch, as columns in memory: only those that rules name, and no more of them than fit."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar, cast

import numpy as np
import polars as pl
from numpy.typing import NDArray

from features.definition.file.load import segment_schema
from features.definition.schema import Definition
from features.errors import StoreError, UnavailableError
from features.expressions.values import Texts, Value
from features.settings import Settings
from features.system.files.opened import Stamp, stamp_of
from serving.audience.files import KEYS, Column, Files
from serving.scoring.population import populations

Made = TypeVar("Made")

#: columns that are kept for the next answer take no more memory
MOST_BYTES = 1 << 30


@dataclass(frozen=True, slots=True)
class View:
    """Columns of everybody, all of the same files: row ``i`` of each is the same user.

    Attributes:
        cutoff: the instant they speak of.
        definition: name and digest of the definition that the batch was made with.
        rules: by dimension, a digest of the rule that it was made with.
        count: how many users there are.
        values: the columns that were asked for, by name.
        users: their ids; none where they were not asked for.
        keys: of which holdouts are drawn, see `segments.holdout.held_out_among`; as above.
    """

    cutoff: int
    definition: str
    rules: Mapping[str, str]
    count: int
    values: dict[str, Value]
    users: pl.Series
    keys: NDArray[np.uint64]

    def ids(self, rows: Sequence[int]) -> tuple[str, ...]:
        """The users of some rows."""
        return tuple(self.users.gather(list(rows)).to_list())


class Population:
    """The users of the newest batch; threads may share one.

    A newer batch is noticed by the next answer, and so is an erasure: columns of other files are forgotten.

    Args:
        definition: the definition.
        settings: where it is kept.
        most_bytes: so much memory may columns take that are kept for the next answer; the least recently used go first.
    """

    def __init__(self, definition: Definition, settings: Settings, *, most_bytes: int = MOST_BYTES) -> None:
        self.definition = definition
        self._folder, self._most = settings.population(definition.name), most_bytes
        self._texts = {name for name, dtype in segment_schema(definition).items() if dtype == pl.String()}
        self._lock = threading.Lock()
        self._files: Files | None = None
        self._columns: OrderedDict[str, Column] = OrderedDict()
        self._made: dict[str, object] = {}

    @property
    def is_there(self) -> bool:
        """Whether a batch has kept columns."""
        return bool(populations(self._folder))

    @property
    def stamp(self) -> Stamp | None:
        """What changes with a newer batch, when the newest is run again, and with an erasure; None before the first.

        Raises:
            UnavailableError: as for `view`.
        """
        # without the lock: pages ask for it while columns of a million users are read
        return self._of_newest(stamp_of) if self.is_there else None

    @property
    def cutoff(self) -> int:
        """The instant that the newest batch speaks of.

        Raises:
            StoreError: as for `view`.
        """
        return self.view(()).cutoff

    @property
    def bytes(self) -> int:
        """How much memory the kept columns take."""
        with self._lock:
            return sum(map(_size, self._columns.values()))

    def view(self, columns: Collection[str], *, users: bool = False) -> View:
        """Load columns of everybody.

        Args:
            columns: that a segment may name.
            users: their ids, too.

        Raises:
            StoreError: there is no population, it lacks a column, or a file is damaged.
            UnavailableError: its files were removed just now.
        """
        with self._lock:
            return self._view(sorted(columns), users=users)

    def made(self, name: str, make: Callable[[], Made]) -> Made:
        """What was made of the columns under a name; made once for each batch.

        Args:
            name: tells it from other things that are made.
            make: makes it.
        """
        with self._lock:
            files = self._newest()
            found = self._made.get(name)
        if found is None:
            found = make()
            with self._lock:
                if self._files is files:  # otherwise it may be made of a batch that is not the newest any more
                    self._made[name] = found
        return cast("Made", found)

    def _view(self, names: list[str], *, users: bool) -> View:
        files = self._newest()
        if missing := [name for name in names if name not in files.columns]:
            raise StoreError(
                f"{files.path.name}, made with {files.definition}, has no column {missing[0]!r}.",
                fix="propensity score makes a batch with the definition of today",
            )
        self._load([*names, *(("user_id", KEYS) if users else ())], files)
        values = {name: _value(self._columns[name]) for name in names}
        ids, keys = self._columns.get("user_id"), self._columns.get(KEYS)
        self._shrink()
        return View(
            cutoff=files.cutoff, definition=files.definition, rules=files.rules, count=files.count, values=values,
            users=ids if users and isinstance(ids, pl.Series) else pl.Series([], dtype=pl.String),
            keys=np.asarray(keys if users and keys is not None else (), dtype=np.uint64),
        )  # fmt: skip

    def _newest(self) -> Files:
        """The files of the newest population; columns of other ones are forgotten."""
        return self._of_newest(self._opened)

    def _opened(self, path: Path) -> Files:
        if self._files is None or self._files.path != path or self._files.stamp != stamp_of(path):
            self._columns.clear()
            self._made.clear()
            self._files = Files.opened(path, self._texts)
        return self._files

    def _of_newest(self, read: Callable[[Path], Made]) -> Made:
        """Read where the newest population is; there where a newer one has just taken its place."""
        path = self._place()
        try:
            return read(path)
        except UnavailableError:
            if self._place() == path:
                raise
            return self._of_newest(read)

    def _place(self) -> Path:
        """Where the newest population is."""
        found = populations(self._folder)
        if not found:
            raise StoreError(
                f"{self._folder} holds no population: no batch has kept everybody's columns yet.",
                fix="propensity score writes it; where Spark scores, PROPENSITY_HOME must be the same on all machines",
            )
        return list(found.values())[-1]

    def _load(self, names: list[str], files: Files) -> None:
        """Bring columns into memory; those that were asked for last are kept for longest."""
        self._columns |= files.read([name for name in names if name not in self._columns])
        for name in names:
            self._columns.move_to_end(name)

    def _shrink(self) -> None:
        """Forget the columns that were not used for longest, where they take too much memory."""
        total = sum(map(_size, self._columns.values()))
        while total > self._most and self._columns:
            _, column = self._columns.popitem(last=False)
            total -= _size(column)


def _value(column: Column) -> Value:
    """A column for rules."""
    return column if isinstance(column, Texts) else np.asarray(column, dtype=np.float64)


def _size(column: Column) -> int:
    """The bytes of a column in memory."""
    if isinstance(column, Texts):
        return int(column.codes.nbytes) + sum(map(len, column.values))
    return int(column.estimated_size() if isinstance(column, pl.Series) else column.nbytes)
