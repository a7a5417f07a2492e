"""The best possible answers: the exact probability of each outcome given all events before a cutoff.

A forward filter keeps, for each user, the probability of every (type, state) and of having uninstalled unnoticed some
days ago; a backward recursion turns that into the probability of each outcome. Training never reads this.
"""

from datetime import datetime

import numpy as np
import polars as pl
from numpy.typing import NDArray

from examples.demo.world import (
    DAYS,
    ENDS,
    HAZARD_BY_PLATFORM,
    HORIZONS,
    PUSH_FACTOR,
    PUSH_SHARE,
    TYPE_BY_SOURCE,
    TYPE_FACTOR,
    Campaign,
    Days,
    Dynamics,
    Floats,
    People,
    unnoticed,
    weekday_factor,
)

N_TYPES = TYPE_FACTOR.size
STILL_UNNOTICED = unnoticed(np.arange(0.0, 5.0))


def likelihood(
    dynamics: Dynamics, seen: Days, day: int, users: NDArray[np.int64], installed_today: NDArray[np.bool_]
) -> Floats:
    """Likelihood of a day's events in each type and state, ``[users, types, states]``, up to a factor per user."""
    n = seen.sessions[day, users].astype(float)
    free = n - installed_today  # the session of the install is certain
    carts, bought, views = (t[day, users].astype(float)[:, None] for t in (seen.carts, seen.purchases, seen.views))
    push = np.where(seen.pushed[day, users], PUSH_FACTOR, 1.0)
    rate = (push * weekday_factor(day))[:, None, None] * TYPE_FACTOR[None, :, None] * dynamics.rates[None, None, :]
    by_kind = (
        (n[:, None] - carts - bought) * np.log(dynamics.kinds[:, 0])
        + carts * np.log(dynamics.kinds[:, 1])
        + bought * np.log(dynamics.kinds[:, 2])
    )
    by_views = views * np.log(dynamics.views) - n[:, None] * dynamics.views
    log = free[:, None, None] * np.log(rate) - rate + (by_kind + by_views)[:, None, :]
    return np.asarray(np.exp(log - log.max(axis=(1, 2), keepdims=True)))


class Filter:
    """What an ideal observer believes about each user at midnight."""

    def __init__(self, folk: People, dynamics: Dynamics) -> None:
        n = len(folk.names)
        self._folk = folk
        self._dynamics = dynamics
        self._hazard = self._dynamics.hazard[None, :] * HAZARD_BY_PLATFORM[folk.platform][:, None]
        self.alive = np.zeros((n, N_TYPES, dynamics.rates.size))
        self.gone = np.zeros((n, STILL_UNNOTICED.size))  # column j: uninstalled j days ago, unnoticed

    def step(self, seen: Days, day: int) -> None:
        """Take in one day."""
        new = np.flatnonzero(self._folk.install == day)
        old = np.flatnonzero(self._folk.install < day)
        self.alive[new] = TYPE_BY_SOURCE[self._folk.source[new]][:, :, None] * self._dynamics.at_install
        leaving = (self.alive[old] * self._hazard[old][:, None, :]).sum(axis=(1, 2))
        staying = (self.alive[old] * (1 - self._hazard[old])[:, None, :]) @ self._dynamics.step
        silent = seen.sessions[day, old] == 0
        self.alive[old] = staying
        users = np.concatenate([old, new])
        both = np.zeros((users.size, self.gone.shape[1]))
        both[: old.size, 1] = leaving * silent * STILL_UNNOTICED[1]
        for j in range(2, self.gone.shape[1]):
            keep = STILL_UNNOTICED[j] / STILL_UNNOTICED[j - 1] if STILL_UNNOTICED[j - 1] > 0 else 0.0
            both[: old.size, j] = self.gone[old, j - 1] * silent * keep
        # `likelihood` drops a factor per user, so the silent days of the gone are put on the same scale
        fit = likelihood(self._dynamics, seen, day, users, np.isin(users, new))
        push = np.where(seen.pushed[day, users], PUSH_FACTOR, 1.0)
        rate = (
            (push * weekday_factor(day))[:, None, None]
            * TYPE_FACTOR[None, :, None]
            * self._dynamics.rates[None, None, :]
        )
        scale = np.exp(rate.min(axis=(1, 2)))  # of a silent day: exp(-rate) was divided by its largest value
        self.alive[users] *= fit
        self.gone[users] = both * scale[:, None]
        total = self.alive[users].sum(axis=(1, 2)) + self.gone[users].sum(axis=1)
        self.alive[users] /= total[:, None, None]
        self.gone[users] /= total[:, None]

    def act(self, treated: NDArray[np.bool_]) -> None:
        """Take in that some users were sent a campaign's message."""
        if self._dynamics.moved is not None:
            self.alive[treated] = self.alive[treated] @ self._dynamics.moved

    def effects(self, day: int) -> dict[str, Floats]:
        """What a message at midnight of ``day`` adds to the probability of each outcome, per user."""
        before, kept = self.outcomes(day), self.alive
        self.alive = kept.copy()
        self.act(np.ones(len(kept), dtype=np.bool_))
        after, self.alive = self.outcomes(day), kept
        return {name: after[name] - before[name] for name in before}

    def outcomes(self, day: int) -> dict[str, Floats]:
        """Probability of each outcome over its horizon from midnight of ``day`` on, per user."""
        result = {}
        for name, horizon in HORIZONS.items():
            answer = np.zeros(len(self._folk.names))
            for platform, factor in enumerate(HAZARD_BY_PLATFORM):
                users = np.flatnonzero(self._folk.platform == platform)
                ahead = self._without(name, horizon, day, self._dynamics.hazard * factor)
                gone = 0.0 if name == "uninstall" else 1.0
                silent = np.einsum("uts,ts->u", self.alive[users], ahead) + gone * self.gone[users].sum(axis=1)
                if name == "uninstall":  # those gone unnoticed uninstalled before the window
                    silent += self.gone[users].sum(axis=1)
                answer[users] = silent if name == "churn" else 1.0 - silent
            result[name] = answer
        return result

    def _without(self, name: str, horizon: int, day: int, hazard: Floats) -> Floats:
        """P(the outcome's event does not happen within the horizon | type, state), ``[types, states]``."""
        ahead = np.ones((N_TYPES, self._dynamics.rates.size))
        for d in range(day + horizon - 1, day - 1, -1):
            rate = TYPE_FACTOR[:, None] * self._dynamics.rates[None, :] * weekday_factor(d)
            rate = rate * self._dynamics.kinds[None, :, 2] if name == "purchase" else rate
            quiet = (1 - PUSH_SHARE) * np.exp(-rate) + PUSH_SHARE * np.exp(-rate * PUSH_FACTOR)
            after = ahead if name == "uninstall" else quiet * ahead
            stay = (1 - hazard) * (after @ self._dynamics.step.T)
            ahead = stay if name == "uninstall" else stay + hazard
        return ahead


def best_answers(
    folk: People, seen: Days, cutoffs: list[datetime], dynamics: Dynamics, campaign: Campaign | None = None
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Compute the Bayes-optimal probabilities.

    Args:
        folk: the users.
        seen: their days.
        cutoffs: midnights (UTC) within the world.
        dynamics: of the world.
        campaign: a message to some of the users.

    Returns:
        Columns ``user_id``, ``cutoff`` and one probability per outcome, for users installed before the cutoff whose
        uninstall has not been noticed by it. And of the campaign ``user_id``, ``treated`` and, per outcome, what the
        message adds to its probability, for the users who were reachable then; no rows without one.

    Raises:
        ValueError: a cutoff is not a midnight of the world.
    """
    wanted = {DAYS - round((ENDS - c).total_seconds() / 86_400): c for c in cutoffs}
    if any((ENDS - c).total_seconds() % 86_400 or not 0 < d <= DAYS for d, c in wanted.items()):
        raise ValueError(f"cutoffs must be midnights of the {DAYS} days before {ENDS:%Y-%m-%d}, found {cutoffs}")
    belief, frames, reached = Filter(folk, dynamics), [], []
    for day in range(DAYS + 1):
        if day in wanted:
            known = (folk.install < day) & (seen.noticed > day * 86_400_000_000)
            columns = {name: p[known] for name, p in belief.outcomes(day).items()}
            users = pl.Series("user_id", folk.names).filter(pl.Series(known))
            cutoff = pl.lit(wanted[day]).cast(pl.Datetime("us", "UTC"))
            frames.append(pl.DataFrame({"user_id": users, **columns}).with_columns(cutoff=cutoff))
        if campaign is not None and day == campaign.day:
            known = (folk.install < day) & (seen.noticed > day * 86_400_000_000)
            added = {name: change[known] for name, change in belief.effects(day).items()}
            users = pl.Series("user_id", folk.names).filter(pl.Series(known))
            reached.append(pl.DataFrame({"user_id": users, "treated": campaign.treated[known], **added}))
            belief.act(campaign.treated & known)
        if day < DAYS:
            belief.step(seen, day)
    nobody = pl.DataFrame(schema={"user_id": pl.String, "treated": pl.Boolean, **dict.fromkeys(HORIZONS, pl.Float64)})
    return pl.concat(frames), pl.concat([nobody, *reached])
