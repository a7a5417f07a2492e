"""Buckets of the kept profiles, folded by the machines that keep a log's events."""

import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from features.event_store.distributed import BesideEvents, DistantReader, DistributedLog
from features.profile.bucket_fold import BucketFold, BucketInput, PersonFold
from features.profile.stored_bucket import Folded
from features.profile.stored_people import online
from features.profile.stored_traits import TRAITS, Known
from features.system.files.places import Place

#: the folder beside the kept profiles that is there during a run
SCRATCH = "scratch"


@dataclass(frozen=True, slots=True)
class Done:
    """What was made of a bucket.

    Attributes:
        names: its files.
        changed: the file of what is still to be put online; empty where there is nothing.
        written: how many profiles were put online.
    """

    names: tuple[str, ...]
    changed: str
    written: int


class Executors:
    """The machines that keep a log's events, see `features.profile.bucket_fold.Runner`.

    Args:
        log: the log.
        folder: where the kept profiles are.
        traits: each user's attributes, `TRAITS`; None where there are none.
        put: puts rows online where buckets are folded, and says how many; None where only this machine can.

    Attributes:
        written: how many profiles were put online by them.
    """

    def __init__(
        self,
        log: DistributedLog,
        folder: Path,
        traits: pl.DataFrame | None,
        put: Callable[[pl.DataFrame], int] | None,
    ) -> None:
        self._log, self._folder, self._traits, self._put = log, folder, traits, put
        self.written = 0

    def persons(self, fold: PersonFold) -> Iterator[Folded]:
        """Fold people of several ids, whose rows are brought together; see `Runner.persons`."""
        return self._log.of_persons(fold.who, fold)

    def buckets(
        self, fold: BucketFold, buckets: Sequence[BucketInput]
    ) -> Iterator[tuple[tuple[str, ...], pl.DataFrame]]:
        """Fold buckets; see `Runner.buckets`."""
        log, scratch = self._log, self._folder / SCRATCH
        shutil.rmtree(scratch, ignore_errors=True)  # of a run that was killed
        kept = [name for given in buckets for name in given.names]
        traits = self._traits if self._traits is not None else pl.DataFrame(schema=TRAITS)
        with (
            log.added_to(self._folder, kept) as place,
            log.beside(traits.select(TRAITS.names()), scratch / "beside") as table,
            log.filled(scratch / "changed") as out,
        ):
            there = replace(fold, place=place, store=log.reader, known=_Beside(table))
            done = log.work(_Folding(there, log.reader, out, self._put), buckets)
        for one in done:
            self.written += one.written
            yield one.names, pl.read_parquet(scratch / "changed" / one.changed) if one.changed else online({})
        shutil.rmtree(scratch)


@dataclass(frozen=True, slots=True)
class _Beside:
    """Attributes that lie beside the events of their users."""

    table: BesideEvents

    def __call__(self, bucket: int, users: Iterable[str]) -> Known:
        some = list(users)
        if not some:
            return {}
        rows = self.table.of(bucket).select(TRAITS.names()).filter(pl.col("user").is_in(some))
        return {user: (traits, visible_from) for user, traits, visible_from in rows.iter_rows()}


@dataclass(frozen=True, slots=True)
class _Folding:
    """What another machine runs on a bucket.

    Attributes:
        fold: folds it.
        reader: tells tries from each other.
        out: gets what is still to be put online.
        put: puts it online.
    """

    fold: BucketFold
    reader: DistantReader
    out: Place
    put: Callable[[pl.DataFrame], int] | None

    def __call__(self, given: BucketInput) -> Done:
        attempt = self.reader.attempt
        names, rows = self.fold(given, attempt)
        if self.put is not None:
            return Done(names, "", self.put(rows) if len(rows) else 0)
        if not len(rows):
            return Done(names, "", 0)
        name = f"part-{given.bucket:05d}-{attempt}.parquet"
        self.out.write(name, rows)
        return Done(names, name, 0)
