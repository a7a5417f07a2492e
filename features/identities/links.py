"""Merges judged one after the other, in the order in which they became known: what comes later changes nothing before.

Each id has at most one id above it, so that people are trees, and the top of a tree is the id by which a person is
called. An undone merge is cut out again, and leaves the trees as they were.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from features.definition.sections.log.identities import Identities
from features.identities.merges import first_of_each, is_nobody
from features.system.compiled import jit

#: an instant after all others
NEVER: Final = 2**62

#: why a merge is refused, by code; the first two are none
REASONS: Final = (
    "merged",
    "already one person",
    "an id that is a word for nobody",
    "both ids are the same",
    "the id belongs to another user already",
    "the id is a shared device: more users than identities.most_users have claimed it",
    "the id is a known user's; only an explicit merge joins two of them",
    "the person would have more ids than identities.most_ids",
)
MERGED, ONE_ALREADY, NOBODY, ITSELF, TAKEN, SHARED, KNOWN, TOO_MANY = range(len(REASONS))

#: merges that do not hold, and why
REFUSED: Final = pl.Schema(
    {"alias": pl.String(), "user": pl.String(), "known_at": pl.Int64(), "source": pl.String(), "reason": pl.String()}
)


@dataclass(frozen=True, slots=True)
class Links:
    """Merges that hold.

    Attributes:
        ids: the ids, ascending.
        alias: of each link the id below, an index of ids.
        user: and the one above.
        since: the first cutoff that sees it.
        until: the first that does not any more.
        refused: the merges that do not hold, `REFUSED`.
        identified: of each id since when it is a known user's: it was named as the user of a merge; `NEVER` if not.
    """

    ids: pl.Series
    alias: NDArray[np.int64]
    user: NDArray[np.int64]
    since: NDArray[np.int64]
    until: NDArray[np.int64]
    refused: pl.DataFrame
    identified: NDArray[np.int64]


def linked(merges: pl.DataFrame, rules: Identities) -> Links:
    """Judge merges.

    Args:
        merges: `MERGES`, in any order.
        rules: how many ids a person, and users an id, may have.
    """
    in_effect = pl.col("undone_at").is_null() | (pl.col("undone_at") > pl.col("known_at"))
    merges = first_of_each(merges.filter(in_effect)).sort(
        "known_at", "effective_at", "alias", "user", "explicit", "undone_at"
    )
    ids = pl.concat([merges["alias"], merges["user"]]).unique().sort().rename("id")
    at = {name: ids.search_sorted(merges[name]).to_numpy().astype(np.int64) for name in ("alias", "user")}
    nobody = merges.select(is_nobody("alias") | is_nobody("user")).to_series().to_numpy()
    known, undone = merges["known_at"].to_numpy(), merges["undone_at"].fill_null(NEVER).to_numpy()
    pair = merges.select(pl.struct("alias", "user").rank("dense") - 1).to_series().cast(pl.Int64).to_numpy()
    # a merge and its undoing are two events; at one instant what is undone goes first
    later = np.r_[np.ones_like(known), np.zeros_like(known)]
    order = np.lexsort((np.tile(np.arange(len(merges)), 2), later, np.r_[known, undone]))
    codes, alias, user, since, until, identified = _judged(
        len(ids), order, len(merges), at["alias"], at["user"], known, undone, merges["explicit"].to_numpy(), nobody,
        pair, rules.most_ids, rules.most_users,
    )  # fmt: skip
    reasons = pl.Series("reason", np.array(REASONS, dtype=object)[codes].tolist(), dtype=pl.String)
    refused = merges.with_columns(reasons).filter(pl.Series(codes > ONE_ALREADY))
    return Links(ids, alias, user, since, until, refused.select(REFUSED.names()), identified)


@jit
def _top(above: NDArray[np.int64], at: int) -> int:
    while above[at] >= 0:
        at = above[at]
    return at


@jit
def _grow(above: NDArray[np.int64], size: NDArray[np.int64], at: int, by: int) -> None:
    """Add to the sizes of a tree's part from an id to the top."""
    while at >= 0:
        size[at] += by
        at = above[at]


@jit
def _judged(
    n: int, order: NDArray[np.int64], merges: int, alias: NDArray[np.int64], user: NDArray[np.int64],
    known: NDArray[np.int64], undone: NDArray[np.int64], explicit: NDArray[np.bool_], nobody: NDArray[np.bool_],
    pair: NDArray[np.int64], most_ids: int, most_users: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64],
           NDArray[np.int64]]:  # fmt: skip
    """Go through merges and undoings in order; see `Links`. Events ``merges + i`` undo merge ``i``."""
    above, size, claims = np.full(n, -1), np.ones(n, dtype=np.int64), np.zeros(n, dtype=np.int64)
    link_of, identified = np.full(n, -1), np.full(n, NEVER)
    codes, links = np.zeros(merges, dtype=np.int64), 0
    counted = np.zeros(merges, dtype=np.bool_)
    l_alias, l_user = np.empty(merges, dtype=np.int64), np.empty(merges, dtype=np.int64)
    l_since, l_until = np.empty(merges, dtype=np.int64), np.full(merges, NEVER)
    for event in order:
        i = event % merges
        a, u = alias[i], user[i]
        if event >= merges:
            if undone[i] < NEVER and above[a] == u:
                l_until[link_of[a]] = undone[i]
                above[a] = -1
                _grow(above, size, u, -size[a])
            continue
        codes[i] = _verdict(above, size, claims, identified, a, u, explicit[i], nobody[i], most_ids, most_users)
        if not counted[pair[i]] and (codes[i] == MERGED or codes[i] == TAKEN):
            counted[pair[i]] = True
            claims[a] += 1
        if claims[a] > most_users and codes[i] in (MERGED, TAKEN):  # a device that many share is nobody's from now on
            codes[i] = SHARED
            if above[a] >= 0:
                l_until[link_of[a]] = known[i]
                _grow(above, size, above[a], -size[a])
                above[a] = -1
        if codes[i] != MERGED:
            continue
        above[a], link_of[a] = u, links
        _grow(above, size, u, size[a])
        identified[u] = min(identified[u], known[i])
        l_alias[links], l_user[links], l_since[links] = a, u, known[i]
        links += 1
    held = np.flatnonzero(l_until[:links] > l_since[:links])
    return codes, l_alias[held], l_user[held], l_since[held], l_until[held], identified


@jit
def _verdict(
    above: NDArray[np.int64], size: NDArray[np.int64], claims: NDArray[np.int64], identified: NDArray[np.int64],
    a: int, u: int, explicit: bool, nobody: bool, most_ids: int, most_users: int,
) -> int:  # fmt: skip
    """What becomes of a merge."""
    if nobody:
        return NOBODY
    if a == u:
        return ITSELF
    top, above_it = _top(above, u), _top(above, a)
    if top == above_it:
        return ONE_ALREADY
    if claims[a] > most_users:
        return SHARED
    if above[a] >= 0:
        return TAKEN
    if identified[a] < NEVER and not explicit:
        return KNOWN
    return TOO_MANY if size[top] + size[a] > most_ids else MERGED
