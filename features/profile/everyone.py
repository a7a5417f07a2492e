"""Folders of what the online store got of everybody, ``user`` and ``profile``, as other machines write them."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq

from features.events.write import part_files
from features.profile.layers import Layers
from features.system.files.durable import new_folder

#: how their names begin
EVERYONE = "everyone"


def users_of(folder: Path) -> Iterator[str]:
    """The users in such a folder."""
    for file in part_files(folder):
        yield from pl.read_parquet(file, columns=["user"])["user"]


def write_values(buckets: Iterable[Layers], folder: Path) -> None:
    """Make such a folder of what this machine has kept."""
    new_folder(folder)
    for layers in buckets:
        rows = layers.rows().select(["user", "profile"])
        pq.write_table(rows.filter(rows["profile"].is_valid()), folder / f"part-{layers.bucket:04d}.parquet")
