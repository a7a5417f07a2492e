"""Random logs for the feature store."""

import numpy as np

from features.time import DAY, HOUR
from tests.oracle import Event

START = 20_000 * DAY


CUTOFF = START + 60 * DAY + 7 * HOUR


def random_log(seed: int, users: int = 40, events: int = 2_000) -> list[Event]:
    rng = np.random.default_rng(seed)
    return [
        Event(
            user=f"u{rng.integers(users)}",
            t=START + int(rng.integers(0, 60 * DAY)),
            signals=tuple(rng.choice(["visit", "cart_add", "purchase"], size=rng.integers(1, 3), replace=False)),
            value=float(np.round(rng.gamma(2, 10), 2)),
        )
        for _ in range(events)
    ]
