"""Stores that were written when a value below 0 was an event of its signal: they are brought to the rule of today.

The log's files may be gone, so that a store is not rebuilt: the buckets that have such rows are written again.
"""

from dataclasses import replace

import numpy as np
import polars as pl

from features.definition.schema import Definition
from features.engines.refunds import take_out, valued_bits
from features.event_store.manifest import Manifest
from features.event_store.part_files import PartFiles
from features.event_store.repeated.judged import Judged, keep_claims
from features.events.repeats import newest_of
from features.events.sort import set_of


def with_refunds(state: Manifest, files: PartFiles, definition: Definition) -> Manifest:
    """The state in which refunds are no events, to be switched to; the same one where it is that already.

    Args:
        state: the store's state.
        files: its parts.
        definition: says which signals have values.
    """
    if state.refunds:
        return state
    valued, position = valued_bits(definition), state.position + 1
    parts, again = list(state.parts), dict(state.merged)
    for bucket in range(state.buckets if valued else 0):
        rows = files.read(state.of_bucket(bucket), ids=True)
        found = take_out(rows.mask, rows.values, valued)
        if found is not None:
            parts = [part for part in parts if part.bucket != bucket]
            rows = replace(rows, mask=found[0], values=found[1]).sorted()
            parts += files.write(rows, bucket, f"{state.generation}-{position}", position)
            again[bucket] = position
    change: dict[str, object] = {"refunds": True}
    if again != state.merged:
        repeats = _claims(state, files, valued, position)
        change |= {"position": position, "parts": parts, "merged": again, "repeats": repeats}
    return state.model_copy(update=change)


def _claims(state: Manifest, files: PartFiles, valued: list[tuple[int, int]], position: int) -> list[str]:
    """What is known of ids that came more than once, by the same rule; returns all such files."""
    if not state.repeats:
        return state.repeats
    claims = newest_of([files.folder / name for name in state.repeats])
    columns = [f"v{i}" for i in range(files.n_values)]
    found = take_out(claims["mask"].to_numpy(), claims.select(columns).to_numpy(), valued)
    if found is None:
        return state.repeats
    columns_now = [pl.Series("mask", found[0]), *(pl.Series(name, found[1][:, i]) for i, name in enumerate(columns))]
    nothing = set_of(np.zeros(0, dtype=np.int64))
    return keep_claims(Judged(nothing, claims=[claims.with_columns(columns_now)], whole=True), state, files, position)
