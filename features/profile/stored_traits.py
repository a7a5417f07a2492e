"""What is known of users besides events, beside the kept profiles: whose attributes have changed since the last run."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

import polars as pl
import pyarrow as pa

from features.events.hashing import bucket_of, hashed
from features.system.files.durable import replacing
from features.system.files.kept_files import reading_table

#: each user's attributes as JSON, and the first cutoff that sees them
TRAITS = pl.Schema({"user": pl.String(), "traits": pl.String(), "visible_from": pl.Int64()})
Known: TypeAlias = dict[str, tuple[str, int]]


@contextmanager
def kept_traits(path: Path) -> Iterator[pl.LazyFrame]:
    """A kept file of attributes, `TRAITS`, also one of an older version, which called ``visible_from`` ``told``.

    Collect it inside.

    Raises:
        StoreError: the file is damaged.
    """
    with reading_table(path, fix=f"remove {path}, and run propensity materialize") as rows:
        yield rows.rename({"told": "visible_from"}, strict=False)


class StoredTraits:
    """The attributes of a run.

    Args:
        traits: each user's attributes, `TRAITS`; None where the definition has none.
        path: what the last run has kept.
        buckets: how many there are.

    Attributes:
        moved: by bucket the users whose attributes are others than at the last commit.

    Raises:
        StoreError: the kept file is damaged.
    """

    def __init__(self, traits: pl.DataFrame | None, path: Path, buckets: int) -> None:
        self._path, self._has_any = path, traits is not None
        now = traits.select(TRAITS.names()) if traits is not None else pl.DataFrame(schema=TRAITS)
        was = now.clear()
        if path.exists():
            with kept_traits(path) as kept:
                was = kept.select(TRAITS.names()).collect()
        ordered = now if now["user"].is_sorted() else now.sort("user")
        self._now, self.moved = ordered.rechunk(), dict[int, list[str]]()  # in one piece: it is searched often
        users = _changed(self._now, was)
        places = bucket_of(hashed(pa.chunked_array([users.to_arrow()], pa.large_string())), buckets)
        for user, bucket in zip(users, places.tolist(), strict=True):
            self.moved.setdefault(bucket, []).append(user)

    def __call__(self, bucket: int, users: Iterable[str]) -> Known:
        """What is known of some users of a bucket, and perhaps of others."""
        places = self._now["user"].search_sorted(pl.Series(list(users), dtype=pl.String))
        some = self._now[places.filter(places < len(self._now))]
        names, traits, visible_from = (some[name].to_list() for name in TRAITS.names())
        return dict(zip(names, zip(traits, visible_from, strict=True), strict=True))

    def save(self) -> None:
        """Keep these for the next run."""
        if self._has_any and (self.moved or not self._path.exists()):
            with replacing(self._path, durable=False) as fresh:
                self._now.write_parquet(fresh, compression="lz4", statistics=False)


def _changed(now: pl.DataFrame, was: pl.DataFrame) -> pl.Series:
    """Users whose attributes are others, new or gone."""
    if now.equals(was):
        return pl.Series("user", [], dtype=pl.String)
    both = now.join(was, on="user", how="full", suffix="_was", coalesce=True)
    return both.filter(
        pl.any_horizontal(pl.col(name).ne_missing(pl.col(f"{name}_was")) for name in TRAITS.names()[1:])
    )["user"]
