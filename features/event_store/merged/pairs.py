"""Merges that rows of the log have reported, kept beside the rows: the log's files may be gone tomorrow."""

from collections.abc import Sequence

import polars as pl

from features.event_store.manifest import Manifest
from features.event_store.part_files import PartFiles, write_frame
from features.events.tombstones import Tombstones
from features.identities.merges import MERGES, first_of_each, of_both_ids, without_users

#: more files than this are put into one
MOST_FILES = 24


def kept_merges(state: Manifest, files: PartFiles) -> pl.DataFrame:
    """All merges that rows of the log have reported, `MERGES`."""
    names = [files.folder / name for name in state.merges]
    return pl.read_parquet(names, schema=MERGES) if names else MERGES.to_frame()


def keep_merges(both: Sequence[pl.DataFrame], state: Manifest, files: PartFiles, written: str) -> list[str]:
    """Keep what new rows say of pairs of ids that was not known; returns the names of all files.

    Args:
        both: of each batch of rows the pairs, `features.reading.batch.BOTH_IDS`.
        state: the store's state.
        files: its parts.
        written: tells the file from others.
    """
    found = [frame for frame in both if len(frame)]
    if not found:
        return state.merges
    new = first_of_each(of_both_ids(pl.concat(found)))
    known = kept_merges(state, files)
    earlier = known.select("alias", "user", before=pl.col("known_at"))
    joined = new.join(earlier, on=["alias", "user"], how="left")
    new = joined.filter(pl.col("before").is_null() | (pl.col("before") > pl.col("known_at"))).drop("before")
    if not len(new):
        return state.merges
    whole = len(state.merges) >= MOST_FILES
    name = f"merges-{written}.parquet"
    write_frame(files.folder / name, first_of_each(pl.concat([known, new])) if whole else new)
    return [name] if whole else [*state.merges, name]


def forget(state: Manifest, files: PartFiles, erased: Tombstones, written: str) -> list[str]:
    """Write the merges again without those of erased users, if any are theirs; returns the names of all files."""
    merges = kept_merges(state, files)
    left = without_users(merges, erased)
    if len(left) == len(merges):
        return state.merges
    name = f"merges-{written}.parquet"
    write_frame(files.folder / name, left)
    return [name]
