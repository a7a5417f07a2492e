"""Scores while thousands of users come due at once: their time has come, and the worker looks at each of them."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import numpy as np
import sqlalchemy as sa

from benchmarks.world import World
from features.settings import Settings
from features.time import parse_instant, to_instant
from serving.database.activation_tables import memberships
from serving.database.log.live_log import LiveLog

#: so many that looking at them takes as long as the measurement
USERS = 8_000
#: turns of scores as usual and scores while users come due: what else the machine does meets both
TURNS = 2


def beside(
    world: World, settings: Settings, clock: str, steady: Callable[[], Awaitable[np.ndarray]]
) -> tuple[np.ndarray, np.ndarray]:
    """Milliseconds of scores as usual, and of scores while users are due.

    Args:
        world: its users were scored.
        settings: where its live log is.
        clock: the instant at which the service's clock began.
        steady: asks for scores for some time.
    """
    usual, due = [], []
    live, now = LiveLog.open(world.definition, settings), to_instant(parse_instant(clock))
    try:
        for _ in range(TURNS):
            usual.append(asyncio.run(steady()))
            with live.writing() as connection:
                some = sa.select(memberships.c.user_id).order_by(memberships.c.user_id).limit(USERS)
                connection.execute(sa.update(memberships).where(memberships.c.user_id.in_(some)).values(due=now))
            due.append(asyncio.run(steady()))
            while _waiting(live, now):
                time.sleep(1)
    finally:
        live.close()
    return np.concatenate(usual), np.concatenate(due)


def _waiting(live: LiveLog, now: int) -> bool:
    with live.reading() as connection:
        return bool(connection.scalar(sa.select(sa.func.count()).where(memberships.c.due <= now)))
