"""What is true in the demo world: hidden states, rates, hazards, delays.

Each day, in this order: a user may uninstall (the day then has no sessions), may change state, and has a number of
sessions that depends on state, type, weekday and push. All of it is finite, so the exact probability of every outcome
given the events seen so far can be computed (``truth.py``).
"""

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

ENDS = datetime(2026, 3, 1, tzinfo=UTC)
DAYS = 300


@dataclass(frozen=True, slots=True)
class Dynamics:
    """How users of a world behave: arrays over hidden states.

    Attributes:
        rates: sessions a day.
        kinds: share of sessions that only browse, that leave a cart behind, that buy.
        views: items viewed a session.
        hazard: chance of an uninstall a day.
        at_install: share of users who begin in each state.
        step: chance of each state tomorrow, by the state of today.
        moved: chance of each state right after a message of a campaign, by the state before it; None where a message
            does nothing.
    """

    rates: Floats
    kinds: Floats
    views: Floats
    hazard: Floats
    at_install: Floats
    step: Floats
    moved: Floats | None = None


#: the demo's shop: hooked, regular, shopping, browsing, fading, lapsed
SHOP = Dynamics(
    rates=np.array([1.20, 0.42, 0.85, 0.45, 0.09, 0.012]),
    kinds=np.array(
        [
            [0.74, 0.16, 0.10],
            [0.81, 0.13, 0.06],
            [0.38, 0.34, 0.28],
            [0.93, 0.06, 0.01],
            [0.93, 0.05, 0.02],
            [0.95, 0.04, 0.01],
        ]
    ),
    views=np.array([1.5, 1.2, 2.4, 1.7, 0.8, 0.6]),
    hazard=np.array([0.0004, 0.0010, 0.0008, 0.0030, 0.0080, 0.0120]),
    at_install=np.array([0.06, 0.14, 0.12, 0.40, 0.22, 0.06]),
    step=np.array(
        [
            [0.974, 0.012, 0.005, 0.002, 0.007, 0.000],
            [0.004, 0.960, 0.008, 0.008, 0.020, 0.000],
            [0.016, 0.055, 0.850, 0.055, 0.024, 0.000],
            [0.001, 0.010, 0.020, 0.904, 0.065, 0.000],
            [0.001, 0.005, 0.004, 0.010, 0.938, 0.042],
            [0.000, 0.001, 0.001, 0.001, 0.003, 0.994],
        ]
    ),
    # it wins back who is fading, and tires who comes regularly without it
    moved=np.array(
        [
            [0.80, 0.00, 0.00, 0.00, 0.20, 0.00],
            [0.00, 0.50, 0.00, 0.00, 0.40, 0.10],
            [0.00, 0.00, 1.00, 0.00, 0.00, 0.00],
            [0.00, 0.15, 0.10, 0.75, 0.00, 0.00],
            [0.00, 0.70, 0.15, 0.00, 0.15, 0.00],
            [0.00, 0.00, 0.00, 0.00, 0.05, 0.95],
        ]
    ),
)

#: a daily habit that is kept for months and then dropped at once: keen, steady, rare, gone
HABIT = Dynamics(
    rates=np.array([2.40, 0.90, 0.15, 0.004]),
    kinds=np.array([[0.90, 0.06, 0.04], [0.92, 0.06, 0.02], [0.94, 0.05, 0.01], [0.97, 0.02, 0.01]]),
    views=np.array([2.2, 1.6, 0.9, 0.5]),
    hazard=np.array([0.0002, 0.0006, 0.0030, 0.0200]),
    at_install=np.array([0.20, 0.40, 0.30, 0.10]),
    step=np.array(
        [
            [0.982, 0.012, 0.001, 0.005],
            [0.006, 0.976, 0.010, 0.008],
            [0.001, 0.012, 0.962, 0.025],
            [0.0005, 0.001, 0.0015, 0.997],
        ]
    ),
)

#: long silences and short bursts in which all is bought: asleep, looking, buying, done
BURSTS = Dynamics(
    rates=np.array([0.02, 0.90, 1.80, 0.10]),
    kinds=np.array([[0.96, 0.03, 0.01], [0.70, 0.24, 0.06], [0.30, 0.30, 0.40], [0.92, 0.05, 0.03]]),
    views=np.array([0.8, 3.2, 2.0, 0.7]),
    hazard=np.array([0.0025, 0.0010, 0.0004, 0.0060]),
    at_install=np.array([0.25, 0.45, 0.10, 0.20]),
    step=np.array(
        [
            [0.975, 0.024, 0.001, 0.000],
            [0.040, 0.780, 0.150, 0.030],
            [0.010, 0.050, 0.690, 0.250],
            [0.120, 0.010, 0.010, 0.860],
        ]
    ),
)


@dataclass(frozen=True, slots=True)
class Campaign:
    """A message to half of the users, drawn by chance.

    Attributes:
        day: at whose midnight it is sent.
        treated: to whom, where they are reachable then.
        seed: of what it does to each.
    """

    day: int
    treated: NDArray[np.bool_]
    seed: tuple[int, ...]


WORLDS = {"shop": SHOP, "habit": HABIT, "bursts": BURSTS}

TYPE_FACTOR = np.array([0.55, 1.0, 1.9])
SOURCES = ("organic", "paid_social", "referral", "search_ad")
SOURCE_SHARE = np.array([0.38, 0.30, 0.12, 0.20])
TYPE_BY_SOURCE = np.array([[0.30, 0.50, 0.20], [0.55, 0.37, 0.08], [0.20, 0.48, 0.32], [0.38, 0.47, 0.15]])

PLATFORMS = ("android", "ios")
PLATFORM_SHARE = np.array([0.62, 0.38])
HAZARD_BY_PLATFORM = np.array([1.25, 0.65])
COUNTRIES = ("DE", "FR", "GB", "IN", "US")
COUNTRY_SHARE = np.array([0.22, 0.15, 0.18, 0.20, 0.25])
PLANS = ("free", "plus")
PLUS_SHARE = 0.12

#: Monday to Sunday
WEEKDAY = np.array([0.90, 0.92, 0.95, 0.98, 1.05, 1.15, 1.05])
PUSH_SHARE = 0.08
PUSH_FACTOR = 1.25
#: an uninstall is noticed between half a day and three days after it happened
NOTICE_MIN, NOTICE_MAX = 0.5, 3.0

HORIZONS = {"churn": 14, "purchase": 7, "uninstall": 14}


def weekday_factor(day: int) -> float:
    """Session rate factor of a day counted from the start of the world."""
    start = ENDS.timestamp() // 86_400 - DAYS
    return float(WEEKDAY[int(start + day + 3) % 7])


def unnoticed(days: Floats) -> Floats:
    """P(an uninstall at a uniform time of day 0 is not noticed ``days`` midnights later)."""
    u = (np.arange(4_000) + 0.5) / 4_000
    late = (days[:, None] - u[None, :] - NOTICE_MIN) / (NOTICE_MAX - NOTICE_MIN)
    return np.asarray(np.clip(1.0 - late, 0.0, 1.0).mean(axis=1))


@dataclass(frozen=True, slots=True)
class People:
    """Who lives in the world: arrays over users.

    Attributes:
        names: user ids.
        install: day of the install, below 0 for nobody.
        source: index into `SOURCES`.
        platform: index into `PLATFORMS`.
        country: index into `COUNTRIES`.
        plus: is on the plus plan from the start.
        kind: index into `TYPE_FACTOR`, hidden.
    """

    names: list[str]
    install: NDArray[np.int64]
    source: NDArray[np.int64]
    platform: NDArray[np.int64]
    country: NDArray[np.int64]
    plus: NDArray[np.bool_]
    kind: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Days:
    """What was seen of each user on each day: ``[days, users]``; all that the best forecast needs."""

    sessions: NDArray[np.int16]
    carts: NDArray[np.int16]
    purchases: NDArray[np.int16]
    views: NDArray[np.int16]
    pushed: NDArray[np.bool_]
    noticed: NDArray[np.int64]
