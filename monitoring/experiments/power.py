"""What an experiment can show before it has shown anything: its users, their rate, and the smallest effect."""

from dataclasses import dataclass
from math import ceil
from pathlib import Path

import polars as pl

from features.definition.schema import Definition
from features.definition.sections.experiment import NOTHING, Experiment
from features.definition.sections.outcome import Outcome
from features.time import DAY
from monitoring.statistics.effects.boundaries import always_valid, reach_of
from segments.power import smallest_effect
from segments.variants import Trial
from serving.activation.memberships import Memberships
from serving.scoring.earlier.batch import Earlier, answered_in, field_of

#: entries of so many days say how many come
WEEKS = 4


@dataclass(frozen=True, slots=True)
class Power:
    """What can be expected of an experiment.

    Attributes:
        inside: users who are in the audience now; ``--enrol`` assigns them.
        a_day: users who entered it a day, in the four weeks before.
        rate: the mean predicted probability of the primary outcome of those inside; None where none was predicted.
        smallest: by variant the smallest wanted change of the rate that the planned users show with 80 % at the planned
            looks, None where it is unknown; of an experiment without a plan that those inside and four weeks' entries
            show in an interval that may be looked at at any time.
        arms: by variant how many users that are: the plan's, or those inside and of four weeks' entries.
        matures: when the outcomes of these are known: `full_on`, or four weeks and the outcome's span from now; None
            where nobody comes.
        full_on: when as many as planned will have entered, and their outcomes are known; None where nobody enters, or
            nothing is planned.
    """

    inside: int
    a_day: float
    rate: float | None
    smallest: dict[str, float | None]
    full_on: int | None
    arms: dict[str, int]
    matures: int | None


def power_of(trial: Trial, definition: Definition, memberships: Memberships, scores: Path, at: int) -> Power:
    """What can be expected of an experiment, by the audience of today.

    Args:
        trial: the experiment.
        definition: its outcomes.
        memberships: who is in the audience, and who entered it.
        scores: the folder of the batches' scores: the newest say the rate.
        at: the end of the log.
    """
    rule, outcome = trial.rule, definition.outcomes[trial.rule.primary]
    members = memberships.inside(rule)
    flows = memberships.flows(at - WEEKS * 7 * DAY).filter(pl.col("dimension") == str(rule.dimension))
    entered = [row["users"] for row in flows.to_dicts() if rule.entered_by(rule.dimension, row["after"])]
    a_day = sum(entered) / (WEEKS * 7)
    rate = _rate(scores, definition, rule.primary, members) if isinstance(outcome, Outcome) else None
    users = rule.users or len(members) + sum(entered)
    smallest = {name: _smallest(rule, users, name, rate) for name in rule.variants if name != NOTHING}
    starts, full_on = max(at, rule.starts), None
    if rule.users is not None and a_day > 0:
        full_on = starts + ceil(rule.users / a_day) * DAY + outcome.reach
    open_end = starts + WEEKS * 7 * DAY + outcome.reach if rule.users is None and users else None
    arms = {name: round(users * share) for name, share in rule.variants.items()}
    return Power(len(members), a_day, rate, smallest, full_on, arms, full_on if rule.users is not None else open_end)


def _smallest(rule: Experiment, users: int, variant: str, rate: float | None) -> float | None:
    treated, untreated = users * rule.variants[variant], users * rule.variants[NOTHING]
    if rate is None or not users:
        return None
    looks = [look / rule.looks for look in range(1, rule.looks + 1)]
    reach = always_valid(treated + untreated) if rule.users is None else reach_of(looks)
    return smallest_effect(treated, untreated, rate, reach=reach, rise=rule.better == "more")


def _rate(scores: Path, definition: Definition, outcome: str, members: list[str]) -> float | None:
    newest = Earlier.newest(scores)
    if newest is None:
        return None
    with newest.reading() as records:
        if outcome not in answered_in(definition, records):
            return None
        rule = definition.outcomes[outcome]
        inside = pl.col("user_id").is_in(pl.Series(members, dtype=pl.String).implode())
        found = records.filter(inside).select(field_of(rule, outcome, rule.answer).mean()).collect().item()
    return float(found) if found is not None and 0 < found < 1 else None
