"""The newest scores from before an instant."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import IO, Protocol, TypeAlias

import polars as pl

from features.definition.schema import Definition
from features.definition.sections.outcome import Outcome, ValueOutcome
from features.system.files.kept_files import reading
from features.system.files.opened import Stamp, opened, stamp_of
from features.time import to_datetime, to_instant
from serving.scoring.serialize import part_of

#: the column that tells whether anything of a user came in since; beside the record, as `evidence_of` has it
EVIDENCE = "evidence"

#: scans the records of some users
Part: TypeAlias = Callable[[], pl.LazyFrame]

#: how scores of an instant are named
NAME = "scores-%Y-%m-%dT%H%M%SZ.parquet"


def scores_path(folder: Path, cutoff: int) -> Path:
    """Where the scores of an instant are kept."""
    return folder / to_datetime(cutoff).strftime(NAME)


#: after all scores
END = to_instant(datetime(9999, 1, 1, tzinfo=UTC))


class EarlierAnswers(Protocol):
    """Likelihoods of an earlier batch."""

    @property
    def as_of(self) -> datetime:
        """The instant they speak of."""
        ...

    def of(self, users: Sequence[str]) -> dict[str, pl.DataFrame]:
        """The likelihoods, by outcome; see `Earlier.of`."""
        ...


@dataclass(frozen=True, slots=True)
class Earlier:
    """Scores of an earlier batch.

    Attributes:
        as_of: the instant they speak of.
        path: their folder.
    """

    as_of: datetime
    path: Path

    @classmethod
    def before(cls, folder: Path, instant: int) -> "Earlier | None":
        """The newest scores before an instant, or None; never those of the instant itself.

        Folders are named to the second, and a log often ends a microsecond after its last event.
        """
        past = [one for one in cls.every(folder) if one.as_of < to_datetime(instant).replace(microsecond=0)]
        return past[-1] if past else None

    @classmethod
    def every(cls, folder: Path) -> "list[Earlier]":
        """All scores, the oldest first."""
        found = {datetime.strptime(path.name + "+0000", NAME + "%z"): path for path in folder.glob("scores-*Z.parquet")}
        return [cls(moment, found[moment]) for moment in sorted(found)]

    @classmethod
    def newest(cls, folder: Path) -> "Earlier | None":
        """The newest scores, or None."""
        return cls.before(folder, END)

    def models(self, definition: Definition) -> dict[str, str]:
        """The model of each outcome these scores were made with; it is the same of all users."""
        with self.reading() as records:
            asked = [
                field_of(rule, name, "model").alias(name) for name, rule in answered_in(definition, records).items()
            ]
            rows = records.select(asked).head(1).collect().rows(named=True) if asked else []
        return {name: version for row in rows for name, version in row.items() if version is not None}

    def of(self, users: Sequence[str]) -> dict[str, pl.DataFrame]:
        """The likelihoods, by outcome: ``there, probability, model`` and, where kept, ``reasons``, a row a user.

        Args:
            users: ids, each once; rows are in their order.
        """
        asked = pl.DataFrame({"user_id": list(users)}, schema={"user_id": pl.String})
        with self.reading() as records:
            if "intent" not in records.collect_schema():
                return {}  # amounts alone were asked for
            theirs = records.filter(pl.col("user_id").is_in(asked["user_id"].implode())).select("user_id", "intent")
            return answers_of(asked, theirs.collect())

    @contextmanager
    def reading(self) -> Iterator[pl.LazyFrame]:
        """All records, of one run of the batch though it is run again meanwhile.

        Collect them inside, so that damaged ones raise an error in words.

        Raises:
            StoreError: a file is damaged.
            UnavailableError: they were removed just now.
        """
        with self._opened() as files:
            yield pl.scan_parquet(files)

    @contextmanager
    def parts(self) -> Iterator[list[Part]]:
        """The same, part by part: whole users each, and no user in two.

        A part is scanned again by each call: a frame that is kept holds what it has read of its file, 80 kB.

        Raises:
            StoreError, UnavailableError: as for `reading`.
        """
        with self._opened() as files:
            yield [partial(pl.scan_parquet, file) for file in files]

    @contextmanager
    def _opened(self) -> Iterator[list[IO[bytes]]]:
        again = f"propensity score --as-of {self.as_of:%Y-%m-%dT%H:%M:%SZ}"
        with (
            opened(self.path) as found,
            reading(self.path, fix=f"remove {self.path}; {again} writes it again"),
        ):
            yield list(found.files)

    @property
    def stamp(self) -> Stamp:
        """What changes when the batch is run again, and with an erasure.

        Raises:
            UnavailableError: as for `reading`.
        """
        return stamp_of(self.path)


def answers_of(asked: pl.DataFrame, records: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """The likelihoods of users, by outcome, as `Earlier.of` has them.

    Args:
        asked: ``user_id``, each once; rows are in their order.
        records: ``user_id`` and ``intent`` of these users and others.
    """
    found = asked.join(records, on="user_id", how="left", maintain_order="left")["intent"]
    return {
        name: answers.struct.unnest().with_columns(answers.is_not_null().alias("there"))
        for name in found.struct.fields
        for answers in [found.struct.field(name)]
    }


def field_of(rule: Outcome | ValueOutcome, name: str, key: str) -> pl.Expr:
    """One thing that records say of an outcome."""
    return pl.col(part_of(rule)).struct.field(name).struct.field(key)


def answered_in(definition: Definition, records: pl.LazyFrame) -> dict[str, Outcome | ValueOutcome]:
    """The outcomes that records speak of; those of an earlier definition may not know all of today's."""
    schema = records.collect_schema()
    there = {part: {field.name for field in schema[part].fields} for part in ("intent", "value") if part in schema}  # type: ignore[attr-defined]
    return {name: rule for name, rule in definition.outcomes.items() if name in there.get(part_of(rule), ())}
