"""Writing the demo world's log."""

from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from examples.demo.world import (
    COUNTRIES,
    COUNTRY_SHARE,
    DAYS,
    ENDS,
    HAZARD_BY_PLATFORM,
    NOTICE_MAX,
    NOTICE_MIN,
    PLANS,
    PLATFORM_SHARE,
    PLATFORMS,
    PLUS_SHARE,
    PUSH_FACTOR,
    PUSH_SHARE,
    SOURCE_SHARE,
    SOURCES,
    TYPE_BY_SOURCE,
    TYPE_FACTOR,
    Campaign,
    Days,
    Dynamics,
    People,
    weekday_factor,
)

DAY = 86_400_000_000
START = int(ENDS.timestamp()) * 1_000_000 - DAYS * DAY
#: chance of a session to begin in each hour from 00:00; none after 23:00, so that sessions end within their day
HOURS = np.array([2, 1, 1, 1, 1, 2, 4, 6, 7, 6, 6, 7, 9, 8, 7, 7, 8, 9, 11, 13, 14, 12, 8, 0], dtype=float)
OFFLINE_SHARE = 0.01
REPEATED_SHARE = 0.005
UPGRADE_SHARE = 0.06


def draw(rng: np.random.Generator, shares: NDArray[np.float64]) -> NDArray[np.int64]:
    """Draw one index a row from rows of shares."""
    edges = np.cumsum(shares, axis=1)
    return np.asarray(np.minimum((rng.random((len(shares), 1)) > edges).sum(axis=1), shares.shape[1] - 1))


def people(rng: np.random.Generator, first: int, count: int) -> People:
    """Draw users ``first`` to ``first + count``; installs come evenly over the days but the last."""
    source = rng.choice(len(SOURCES), count, p=SOURCE_SHARE)
    return People(
        names=[f"u{first + i:07d}" for i in range(count)],
        install=rng.integers(0, DAYS - 1, count),
        source=source,
        platform=rng.choice(len(PLATFORMS), count, p=PLATFORM_SHARE),
        country=rng.choice(len(COUNTRIES), count, p=COUNTRY_SHARE),
        plus=rng.random(count) < PLUS_SHARE,
        kind=draw(rng, TYPE_BY_SOURCE[source]),
    )


def simulate(
    rng: np.random.Generator, folk: People, dynamics: Dynamics, campaign: Campaign | None = None
) -> tuple[pl.DataFrame, Days]:
    """Let users live through the days.

    Args:
        rng: of all draws but those of the campaign, so that nothing before it is different without one.
        folk: the users.
        dynamics: of the world.
        campaign: a message to some of them.

    Returns:
        Events (``user_id, event, event_time, arrived_at, item, revenue``; times in microseconds), and what was seen
        of each user on each day.
    """
    n = len(folk.names)
    state = np.full(n, -1)
    removed = np.full(n, DAYS, dtype=np.int64)
    noticed = np.full(n, DAYS * DAY, dtype=np.int64)
    hazard = dynamics.hazard[None, :] * HAZARD_BY_PLATFORM[folk.platform][:, None]
    shape = (DAYS, n)
    counts = [np.zeros(shape, dtype=np.int16) for _ in range(4)]
    seen = Days(counts[0], counts[1], counts[2], counts[3], np.zeros(shape, dtype=bool), noticed)
    sessions, removals, pushes = [], [], []
    for day in range(DAYS):
        alive = np.flatnonzero((folk.install < day) & (removed == DAYS))
        if campaign is not None and day == campaign.day and dynamics.moved is not None:
            treated = alive[campaign.treated[alive]]
            state[treated] = draw(np.random.default_rng(campaign.seed), dynamics.moved[state[treated]])
        gone = alive[rng.random(alive.size) < hazard[alive, state[alive]]]
        removed[gone] = day
        at = day * DAY + (rng.random(gone.size) * DAY).astype(np.int64)
        noticed[gone] = at + (rng.uniform(NOTICE_MIN, NOTICE_MAX, gone.size) * DAY).astype(np.int64)
        removals.append((gone, at))
        alive = alive[removed[alive] == DAYS]
        state[alive] = draw(rng, dynamics.step[state[alive]])
        new = np.flatnonzero(folk.install == day)
        state[new] = rng.choice(dynamics.at_install.size, new.size, p=dynamics.at_install)
        reachable = np.flatnonzero((folk.install < day) & (noticed > day * DAY))
        pushed = reachable[rng.random(reachable.size) < PUSH_SHARE]
        seen.pushed[day, pushed] = True
        pushes.append((pushed, np.full(pushed.size, day * DAY + 10 * DAY // 24, dtype=np.int64)))
        alive = np.concatenate([alive, new])
        rate = dynamics.rates[state[alive]] * TYPE_FACTOR[folk.kind[alive]] * weekday_factor(day)
        rate *= np.where(seen.pushed[day, alive], PUSH_FACTOR, 1.0)
        count = rng.poisson(rate) + (folk.install[alive] == day)
        who = np.repeat(alive, count)
        seen.sessions[day] = np.bincount(who, minlength=n)
        kind = draw(rng, dynamics.kinds[state[who]])
        views = rng.poisson(dynamics.views[state[who]])
        for table, hit in ((seen.carts, kind == 1), (seen.purchases, kind == 2)):
            table[day] = np.bincount(who[hit], minlength=n)
        seen.views[day] = np.bincount(who, weights=views, minlength=n).astype(np.int16)
        sessions.append((who, np.full(who.size, day), kind, views))
    who, days, kind, views = (np.concatenate(parts) for parts in zip(*sessions, strict=True))
    events = _session_events(rng, who, days, kind, views)
    for name, parts in (("app_remove", removals), ("push_sent", pushes)):
        owner, at = (np.concatenate(p) for p in zip(*parts, strict=True))
        arrived = noticed[owner] if name == "app_remove" else at
        events.append(_frame(name, owner, at, arrived))
    frame = pl.concat(events, how="diagonal")
    return frame.with_columns(user_id=pl.Series(folk.names).gather(frame["user"])).drop("user"), seen


def _frame(
    name: str, user: NDArray[np.int64], t: NDArray[np.int64], arrived: NDArray[np.int64], **extra: object
) -> pl.DataFrame:
    return pl.DataFrame({"user": user, "event": name, "event_time": t + START, "arrived_at": arrived + START, **extra})


def _session_events(
    rng: np.random.Generator,
    who: NDArray[np.int64],
    days: NDArray[np.int64],
    kind: NDArray[np.int64],
    views: NDArray[np.int64],
) -> list[pl.DataFrame]:
    hour = rng.choice(24, who.size, p=HOURS / HOURS.sum())
    begin = days * DAY + hour * (DAY // 24) + rng.integers(0, DAY // 24, who.size)
    order = np.lexsort((begin, who))
    who, begin, kind, views = who[order], begin[order], kind[order], views[order]
    offline = np.where(rng.random(who.size) < OFFLINE_SHARE, rng.integers(0, DAY // 4, who.size), 0)

    def within(index: NDArray[np.int64], name: str, minute: float, **extra: object) -> pl.DataFrame:
        t = begin[index] + ((minute + rng.random(index.size)) * 60_000_000).astype(np.int64)
        return _frame(name, who[index], t, t + offline[index] + rng.integers(0, 4_000_000, index.size), **extra)

    every = np.arange(who.size)
    carts, bought = np.flatnonzero(kind >= 1), np.flatnonzero(kind == 2)
    more = np.repeat(carts, rng.poisson(0.4, carts.size))
    taken_out = np.flatnonzero((kind == 1) & (rng.random(who.size) < 0.3))
    viewed = np.repeat(every, views)
    _, installed = np.unique(who, return_index=True)  # the first session of a user is that of the install
    signed_up = installed[rng.random(installed.size) < 0.85]
    revenue = np.round(np.exp(rng.normal(3.3, 0.7, bought.size)), 2)
    return [
        within(installed, "install", 0),
        within(signed_up, "sign_up", 2),
        within(every, "app_open", 1),
        within(viewed, "view_item", 3, item=rng.integers(1, 5_000, viewed.size)),
        within(np.repeat(every, rng.poisson(0.4, every.size)), "search", 4),
        within(np.concatenate([carts, more]), "add_to_cart", 6, item=rng.integers(1, 5_000, carts.size + more.size)),
        within(taken_out, "remove_from_cart", 9),
        within(bought, "purchase", 12, revenue=revenue),
    ]


def test_users(rng: np.random.Generator, count: int) -> pl.DataFrame:
    """Events of robots: they open and buy every few minutes, and must not reach features or labels."""
    at = np.sort(rng.integers((DAYS - 60) * DAY, DAYS * DAY, count * 200))
    name = np.where(rng.random(at.size) < 0.2, "purchase", "app_open")
    user = [f"test-{i:04d}" for i in rng.integers(0, count, at.size)]
    revenue = np.where(name == "purchase", 1.0, np.nan)
    columns = {"user_id": user, "event": name, "event_time": at + START, "arrived_at": at + START, "revenue": revenue}
    return pl.DataFrame(columns).with_columns(pl.col("revenue").fill_nan(None))


def write_events(rng: np.random.Generator, events: pl.DataFrame, path: Path, part: int) -> int:
    """Give events ids, repeat some of them as a retrying client would, and write them in order of arrival."""
    limit = START + DAYS * DAY
    events = events.filter(pl.col("arrived_at") < limit).sort("arrived_at", "user_id", "event")
    events = events.with_columns(event_id=pl.format("{}-{}", pl.lit(part), pl.int_range(pl.len())))
    again = events.gather(rng.integers(0, len(events), int(len(events) * REPEATED_SHARE)))
    instant = pl.Datetime("us", "UTC")
    log = pl.concat([events, again]).with_columns(pl.col("event_time", "arrived_at").cast(instant))
    columns = ["event_id", "user_id", "event", "event_time", "arrived_at", "item", "revenue"]
    log.sort("arrived_at").select(columns).write_parquet(path)
    return len(log)


def traits(rng: np.random.Generator, folk: People) -> pl.DataFrame:
    """What is known about users and since when; some free users upgrade later."""
    frame = pl.DataFrame(
        {
            "user_id": folk.names,
            "known_at": folk.install * DAY + START,
            "platform": pl.Series(PLATFORMS).gather(folk.platform),
            "country": pl.Series(COUNTRIES).gather(folk.country),
            "plan": np.where(folk.plus, PLANS[1], PLANS[0]),
            "source": pl.Series(SOURCES).gather(folk.source),
        }
    )
    later = frame.filter((pl.col("plan") == PLANS[0]) & pl.Series(rng.random(len(frame)) < UPGRADE_SHARE))
    moved = pl.col("known_at") + pl.Series(rng.integers(10, 120, len(later)) * DAY)
    later = later.with_columns(known_at=moved, plan=pl.lit(PLANS[1])).filter(pl.col("known_at") < START + DAYS * DAY)
    return pl.concat([frame, later]).with_columns(pl.col("known_at").cast(pl.Datetime("us", "UTC")))
