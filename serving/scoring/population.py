"""Everybody's columns as Parquet, written beside the scores of the newest batch: what rules over users may name."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from features.definition.file.load import segment_schema
from features.definition.schema import Definition
from features.errors import ScoringError
from features.events.hashing import hashed
from features.events.write import part_files
from features.expressions.values import Texts, Value
from features.system.files.durable import remove_folder, replace_folder
from features.system.files.places import Place
from features.system.files.private import make_all_private
from features.time import to_datetime
from segments.transitions.membership import rule_digests
from serving.scoring.earlier.batch import Earlier
from serving.scoring.scores import Scored

#: how the population of an instant is named; it is no ``.parquet``, so that nothing takes it for a file
NAME = "population-%Y-%m-%dT%H%M%SZ"

#: beside the columns that rules name: the user, the id by which the holdout is drawn where that is another one, the
#: segments of the batch, and those of them that the user is held out of
OWN = ("user_id", "drawn_as", "segments", "holdout")

#: what a file says of itself: the exact instant, the definition by which it was made, and digests of its rules
CUTOFF, DEFINITION, RULES = b"cutoff", b"definition", b"rules"


def populations(folder: Path) -> dict[datetime, Path]:
    """The populations of a folder by their instants, which are to the second; the oldest first.

    One that is called ``.old`` counts: where two folders cannot change places, it has no other name for a moment.
    """
    names = {path.name.removesuffix(".old") for end in ("Z", "Z.old") for path in folder.glob(f"population-*{end}")}
    found = {datetime.strptime(name + "+0000", NAME + "%z"): folder / name for name in names}
    return {moment: found[moment] for moment in sorted(found)}


@dataclass(frozen=True, slots=True)
class KeptPopulation:
    """A population while it is written.

    On Spark it travels to the executors: a frame has the name of its first user, so that a task that is run twice
    writes the same files twice.

    Attributes:
        folder: where populations are kept.
        cutoff: the instant.
        columns: what rules may name.
        version: name and digest of the definition.
        rules: by dimension, what changes with its rule, see `rule_digests`.
        out: where frames are written, `features.events.log.Log.filled` of `fresh`.
    """

    folder: Path
    cutoff: int
    columns: tuple[str, ...]
    version: str
    rules: Mapping[str, str]
    out: Place | None = None

    @classmethod
    def of_newest(cls, definition: Definition, cutoff: int, scores: Path, folder: Path) -> "KeptPopulation | None":
        """One to begin; None when there are later scores, or a later population: only the newest batch's is kept."""
        moment = to_datetime(cutoff).replace(microsecond=0)
        newest = Earlier.newest(scores)
        if (newest is not None and newest.as_of > moment) or any(other > moment for other in populations(folder)):
            return None
        return cls(folder, cutoff, tuple(segment_schema(definition)), definition.version, rule_digests(definition))

    @property
    def path(self) -> Path:
        """Where it will be."""
        return self.folder / to_datetime(self.cutoff).strftime(NAME)

    @property
    def fresh(self) -> Path:
        """Where it is until it is whole."""
        return self.path.with_name(self.path.name + ".new")

    def add(self, scored: Scored) -> None:
        """Write a frame of users."""
        users = scored.rows.users.to_arrow()
        known = scored.values(self.columns)
        arrays = {
            "user_id": users.cast(pa.large_string()),
            "drawn_as": _drawn(scored.rows.users, scored.rows.drawn_as).to_arrow().cast(pa.large_string()),
            "segments": scored.names("segments").to_arrow(),
            "holdout": scored.names("holdout").to_arrow(),
            **{name: _array(known[name]) for name in self.columns},
        }
        about = {CUTOFF: str(self.cutoff), DEFINITION: self.version, RULES: json.dumps(dict(self.rules))}
        table = pa.table(arrays).replace_schema_metadata({key: text.encode() for key, text in about.items()})
        first = int(hashed(pa.chunked_array([users[:1]]))[0]) & (2**63 - 1)
        whole = [name for name in self.columns if _is_whole(known[name])]
        place = self.out if self.out is not None else Place(str(self.fresh))
        with place.writing(f"part-{first:016x}.parquet") as file:
            pq.write_table(
                table, file, compression="zstd", compression_level=1, use_dictionary=[*whole, "drawn_as"],
                write_statistics=False,
            )  # fmt: skip

    def finish(self, users: int) -> None:
        """Put it in its place, then remove those of older batches.

        Args:
            users: how many there must be.

        Raises:
            ScoringError: some are missing.
        """
        found = sum(pq.read_metadata(file).num_rows for file in part_files(self.fresh))
        if found != users:
            raise ScoringError(
                f"the population of {to_datetime(self.cutoff).isoformat()} has {found:,} of {users:,} users.",
                fix="with Spark, let all its machines see PROPENSITY_HOME at the same path, or set PROPENSITY_SHARED; "
                "then score again",
            )
        make_all_private(self.fresh)
        replace_folder(self.fresh, self.path)
        for path in populations(self.folder).values():
            if path != self.path:
                remove_folder(path)

    def drop(self) -> None:
        """Leave nothing of it."""
        shutil.rmtree(self.fresh, ignore_errors=True)


def _drawn(users: pl.Series, drawn_as: Mapping[str, str]) -> pl.Series:
    """The id by which each user's holdout is drawn, null where that is the user's own."""
    if not drawn_as:
        return pl.Series([None], dtype=pl.String).new_from_index(0, len(users))
    return users.replace_strict(drawn_as, default=None, return_dtype=pl.String)


def _array(value: Value) -> pa.Array:
    """A column as Arrow has it; NaN stays NaN.

    Texts are plain: Parquet makes its own dictionary of those that are there, so that none of an erased user is left.
    """
    if not isinstance(value, Texts):
        return pa.array(value)
    return pa.array(value.values, pa.large_string()).take(pa.array(value.codes, mask=value.codes < 0))


def _is_whole(value: Value) -> bool:
    """Whether a column has few values: texts, and whole numbers."""
    if isinstance(value, Texts):
        return True
    numbers = np.asarray(value)[:1_000]
    return bool(np.all((numbers == np.rint(numbers)) | np.isnan(numbers)))
