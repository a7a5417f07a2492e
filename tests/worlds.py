"""Small definitions and logs for the tests."""

import numpy as np
import polars as pl

from features.definition import Definition
from features.definition.numbers import event_numbers
from features.events.events import Events
from features.time import DAY
from tests.oracle import Event, place_of

#: a definition of three signals
DEFINITION: dict[str, object] = {
    "name": "small",
    "events": {"path": "events.parquet", "columns": {"user": "user_id", "event": "event", "time": "event_time"}},
    "signals": {
        "visit": {"where": "event = 'visit'", "activity": True},
        "cart_add": {"where": "event = 'cart_add'"},
        "purchase": {"where": "event = 'purchase'", "value": "revenue"},
    },
    "windows": [1, 7, 14, 30],
    "outcomes": {"churn": {"will_not": "visit", "within": "14d", "among": "days_since_visit < 28"}},
}


def definition_of(**changes: object) -> Definition:
    """`DEFINITION` with some keys replaced."""
    return Definition.model_validate(DEFINITION | changes)


def with_signal(name: str, **changes: object) -> dict[str, object]:
    """The signals of `DEFINITION`, one of them changed."""
    signals = DEFINITION["signals"]
    assert isinstance(signals, dict)
    return signals | {name: signals[name] | changes}


def events_of(definition: Definition, log: list[Event]) -> Events:
    """The log as the event reader would hand it to the fold."""
    rows: list[tuple[str, int, int, tuple[float, ...], int]] = []
    for e in log:
        t, mask, numbers, visible = place_of(definition, e)
        if mask:
            rows.append((e.user, t, mask, numbers, visible))
    rows.sort()
    users = sorted({r[0] for r in rows})
    return Events(
        users=pl.Series("user", users),
        starts=np.searchsorted([r[0] for r in rows], [*users, "\U0010ffff"]).astype(np.int64),
        t=np.array([r[1] for r in rows], dtype=np.int64),
        visible=np.array([r[4] for r in rows], dtype=np.int64),
        mask=np.array([r[2] for r in rows], dtype=np.int64),
        values=np.array([r[3] for r in rows], dtype=np.float64).reshape(len(rows), len(event_numbers(definition))),
        ends=max(r[1] for r in rows) + DAY,
    )
