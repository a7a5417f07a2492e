"""What live messages and kept rows make of users: profiles from their beginning, and attributes."""

import json
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

import numpy as np
import polars as pl

from features.events.events import Rows
from features.events.repeats import one_row_an_id
from features.profile.codec import ALONE, Attributes, Identity, pack_all, stored_bytes
from features.profile.fold import fold_into
from features.profile.layout import NEVER, Layout
from features.reading.live_messages import IDENTIFY, LogColumns, Message


def fold_whole(
    rows: Rows, layout: Layout, columns: LogColumns, called: Mapping[str, str] = MappingProxyType({})
) -> dict[str, bytes]:
    """Fold users from their beginning, all they have done; the packed profile of each.

    Args:
        rows: theirs, in the order of the log.
        layout: of profiles.
        columns: the log's.
        called: as who ids are folded that are others' too.
    """
    once, _ = one_row_an_id(rows, by_arrival=columns.has_arrivals, each_user=True)
    if called:
        names = pl.Series(once.users, dtype=pl.String)
        once = once.called(pl.Series([called.get(name, name) for name in names], dtype=pl.String))
    events = once.sorted().events(NEVER, {})
    words = np.zeros((len(events.users), layout.size), dtype=np.int64)
    if len(events.users):
        fold_into(events, 0, len(words), NEVER - 1, layout, words, np.full(len(words), NEVER))
    return dict(zip(events.users, pack_all(words, layout), strict=True))


def identified(known: Attributes, messages: Iterable[Message], fields: Sequence[str]) -> Attributes:
    """Attributes after messages about them, in the order in which it became known."""
    merged, visible_from = dict(known.traits), known.visible_from
    for message in messages:
        if message.kind == IDENTIFY:
            traits = traits_of(message, fields)
            if any(merged.get(name) != value for name, value in traits.items()):
                visible_from = max(visible_from, message.received + 1)
            merged |= traits
    return Attributes(merged, visible_from)


def traits_of(message: Message, fields: Sequence[str]) -> dict[str, str | None]:
    """The attributes that a message speaks of, as text, as the trait table holds them."""
    found = {name: message.body[name] for name in fields if name in message.body}
    return {name: None if v is None else v if isinstance(v, str) else json.dumps(v) for name, v in found.items()}


def value_of(through: int, words: bytes, known: Attributes, position: int, identity: Identity = ALONE) -> bytes:
    """What is stored of a user."""
    return stored_bytes(through, words, known.json(), position, known.visible_from, identity)
