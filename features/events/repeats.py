"""Rows of one id: an id names one event of the whole log, no matter who sends it, and one of its rows counts.

* The event is that of the user whose row arrived first; rows of other users with its id count nowhere.
* Rows of that user that say the same (time, signals, values) are repeats: the first arrival counts.
* Where they differ, the newest arrival counts as the correction, from its own arrival on.
* Of rows that arrived together, or do not say when they arrived, the earlier in the log is the first: files by name,
  what came by the live path after them, then rows by their order.

A *claim* is what rows of one id and one user say together: the content that counts, the first and the last of the rows,
and whether they differ. Claims of a user, and then claims of an id, merge to the same answer whatever order their rows
come in, so that files taken in one by one yield what all of them yield at once.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from features.errors import EventLogError
from features.events.compacted import is_compacted
from features.events.events import Rows

#: a row's place in the log is its file's number above its own
ROW_BITS = 40

#: when and where the first and the last row of a claim came in
ENDS = ("first", "first_at", "last", "last_at")


def claims_of(rows: pl.DataFrame) -> pl.DataFrame:
    """Take each row (``user``, ``id``, ``t``, ``visible``, ``mask``, ``v0…``, ``place``) as a claim of its own."""
    return rows.with_columns(
        first="visible", first_at="place", last="visible", last_at="place", differs=pl.lit(False)
    ).drop("visible", "place")


def merged(claims: pl.DataFrame, ranks: NDArray[np.int64], *, by_arrival: bool) -> pl.DataFrame:
    """Merge the claims of each user and id.

    Args:
        claims: of any users and ids.
        ranks: of each file's number, its place among the files.
        by_arrival: rows say when they arrived.

    Returns:
        A claim for each user and id, in no order.
    """
    content, by = _content(claims), ["id", "user"]
    differs = pl.any_horizontal(pl.col("differs").any(), *(pl.col(c).min() != pl.col(c).max() for c in content))
    newest = (
        _in_order(claims, "last", ranks, by_arrival=by_arrival)
        .group_by(by)
        .agg(differs.alias("differs"), *(pl.col(name).last() for name in (*content, "last", "last_at")))
    )
    in_order = _in_order(claims, "first", ranks, by_arrival=by_arrival)
    oldest = in_order.unique(by, keep="first").select(*by, "first", "first_at")
    return newest.join(oldest, on=by).select(_claim(content))


def owned(claims: pl.DataFrame, ranks: NDArray[np.int64], *, by_arrival: bool) -> pl.DataFrame:
    """Of each id the claim of the user whose row was the first.

    Args:
        claims: of each user and id one.
        ranks: of each file's number, its place among the files.
        by_arrival: rows say when they arrived.

    Returns:
        A claim for each id, in no order; ``users`` says how many users have sent it.
    """
    counted = claims.with_columns(users=pl.len().over("id"))
    return _in_order(counted, "first", ranks, by_arrival=by_arrival).unique("id", keep="first")


def counting(claims: pl.DataFrame) -> pl.DataFrame:
    """The row of each claim that counts: ``user``, ``id``, ``t``, ``visible``, ``mask``, ``v0…``, ``place``."""
    content = _content(claims)
    visible = pl.when("differs").then("last").otherwise("first").alias("visible")
    place = pl.when("differs").then("last_at").otherwise("first_at").alias("place")
    return claims.select("user", "id", "t", visible, *content[1:], place)


def one_row_an_id(rows: Rows, *, by_arrival: bool, each_user: bool = False) -> tuple[Rows, int]:
    """Leave out the rows of an id that do not count.

    Args:
        rows: of the whole log, in its order.
        by_arrival: rows say when they arrived.
        each_user: rows of some users only are at hand: judge those of each by themselves.

    Returns:
        The other rows, in no order, and how many were left out.
    """
    ordered = np.argsort(rows.ids, kind="stable")
    ids = rows.ids[ordered]
    again = (ids[1:] == ids[:-1]) & (ids[1:] != 0)
    several = np.zeros(len(ids), dtype=np.bool_)
    several[ordered[1:][again]] = several[ordered[:-1][again]] = True
    if not several.any():
        return rows, 0
    places = np.flatnonzero(several)
    claims = claims_of(frame_of(rows.take(places)).with_columns(place=pl.Series(places)))
    here = np.zeros(1, dtype=np.int64)
    judged = merged(claims, here, by_arrival=by_arrival)
    found = counting(judged if each_user else owned(judged, here, by_arrival=by_arrival))
    chosen, visible = found["place"].to_numpy(), rows.visible.copy()
    visible[chosen] = found["visible"]
    keep = np.append(np.flatnonzero(~several), chosen)
    return replace(rows, visible=visible).take(keep), len(several) - len(keep)


def frame_of(rows: Rows) -> pl.DataFrame:
    """Rows as a frame, as `claims_of` takes it; where a row stood in its file is not known any more."""
    values = {f"v{i}": rows.values[:, i] for i in range(rows.values.shape[1])}
    users = pl.Series(rows.users.take(pa.array(rows.codes)), dtype=pl.String)
    columns = {"user": users, "t": rows.t, "visible": rows.visible, "mask": rows.mask}
    return pl.DataFrame({**columns, **values, "id": rows.ids, "place": rows.files << ROW_BITS})


def changes(now: pl.DataFrame, stored: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The rows that count now and are not stored as they are, and the stored ones that no longer count."""
    same = [name for name in now.columns if name != "place"]
    changed = now.join(stored, on=same, how="anti")
    return changed, stored.join(changed, on="id", how="semi").select("bucket", "id")


def newest_of(kept: Sequence[Path], ids: pl.DataFrame | None = None) -> pl.DataFrame:
    """What files of claims say, oldest first: of each id and user the newest claim.

    Args:
        kept: the files; at least one.
        ids: only of these ids, a column ``id``.

    Raises:
        EventLogError: a file is damaged.
    """
    every = pl.scan_parquet(list(kept), hive_partitioning=False)
    asked = every if ids is None else every.join(ids.lazy(), on="id", how="semi", maintain_order="left")
    try:
        return asked.unique(["id", "user"], keep="last", maintain_order=True).collect()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise EventLogError(
            f"the event store's {kept[0].parent}/repeats-*.parquet cannot be read: {error}.",
            fix=f"remove {kept[0].parent}; it is rebuilt from the log",
        ) from error


def counted(claims: pl.DataFrame) -> tuple[int, int]:
    """Of claims of ids: how many ids stand on rows that differ, and how many several users have sent."""
    return int(claims["differs"].sum()), int((claims["users"] > 1).sum())


def ranks_of(files: Sequence[str]) -> NDArray[np.int64]:
    """The place of each file in the log: by name, what came by the live path after the others."""
    order = sorted(range(len(files)), key=lambda i: log_order(files[i]))
    ranks = np.empty(len(files), dtype=np.int64)
    ranks[order] = np.arange(len(files))
    return ranks


def log_order(file: str) -> tuple[bool, Path]:
    """What files of a log are ordered by."""
    return is_compacted(file), Path(file)


def _content(claims: pl.DataFrame) -> list[str]:
    """What rows of one id must agree in to be repeats."""
    return ["t", "mask", *(f"v{i}" for i in range(len(claims.columns)) if f"v{i}" in claims.columns)]


def _claim(content: Sequence[str]) -> list[str]:
    return ["user", "id", *content, *ENDS, "differs"]


def _in_order(claims: pl.DataFrame, end: str, ranks: NDArray[np.int64], *, by_arrival: bool) -> pl.DataFrame:
    """Claims in the order in which their first or their last row (``end``) came in."""
    at = claims[f"{end}_at"].to_numpy()
    rank = pl.Series(ranks[at >> ROW_BITS] << ROW_BITS | at & ((1 << ROW_BITS) - 1))
    return claims.with_columns(rank=rank).sort([*([end] if by_arrival else []), "rank"]).drop("rank")
