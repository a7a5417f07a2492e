"""Uplift learnt from an experiment: fitted, judged on users it has not seen, and offered only if it ranks them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl

from features.definition.columns import feature_set
from features.definition.schema import Definition
from features.definition.sections.experiment import NOTHING
from features.definition.sections.outcome import Outcome
from features.errors import PropensityError
from features.events.draws import evenly, salt
from features.events.log import Log
from features.system.progress import Progress, ignore
from monitoring.collected import features_at
from monitoring.statistics.effects.targeting import Targeting, doubly_robust, targeting
from monitoring.uplift.learners import FOLDS, LEARNERS, cross_fitted, sequential, within_folds
from monitoring.uplift.tiers import Group, groups_of
from segments.variants import Trial
from serving.model.numbers import Floats

#: each arm needs so many users, and so many to whom it happened and did not happen
USERS, HAPPENED = 1_000, 100


@dataclass(frozen=True, slots=True)
class Uplift:
    """What is learnt of who is moved by a variant.

    Attributes:
        experiment, variant, outcome: of what.
        users: of both arms.
        learner: ``s`` or ``t``.
        judged: the ranking by uplift, of each learner.
        by_risk: the ranking by the probability of what is not wanted, without acting: contacting by risk.
        groups: fifths of the users by uplift.
        offered: whether tiers are: the interval of the AUTOC lies above 0.
    """

    experiment: str
    variant: str
    outcome: str
    users: int
    learner: Literal["s", "t"]
    judged: Mapping[Literal["s", "t"], Targeting]
    by_risk: Targeting
    groups: list[Group]
    offered: bool

    @property
    def words(self) -> str:
        """What is known, in a sentence."""
        found = self.judged[self.learner].autoc
        reach = f"AUTOC {found.value:+.4f} ({found.low:+.4f} to {found.high:+.4f})"
        if not self.offered:
            return f"{reach}: who is moved by {self.variant} cannot be distinguished; no tiers are offered"
        return f"{reach}: the ranking finds users who are moved by {self.variant}"


@dataclass(frozen=True, slots=True)
class Arms:
    """Users of two arms.

    Attributes:
        X: features at the assignment.
        treated: 1 for who was assigned the variant.
        y: 1 where what is wanted happened.
        names: of the users.
        share: of the treated arm, as planned.
    """

    X: Floats
    treated: Floats
    y: Floats
    names: list[str]
    share: float


def arms_of(
    trial: Trial,
    variant: str,
    assigned: pl.DataFrame,
    labels: pl.DataFrame,
    log: Log,
    definition: Definition,
    folder: Path,
    *,
    progress: Progress = ignore,
) -> Arms:
    """The users of a variant and of nothing whose outcome is known, with their features at the assignment.

    Args:
        trial: the experiment.
        variant: the treated arm.
        assigned: `serving.activation.assignments.ASSIGNED`.
        labels: ``user``, ``at``, ``label`` of the primary outcome.
        log: the log.
        definition: its features.
        folder: rows are written beside it meanwhile.
        progress: called for each run of users that is done.

    Raises:
        PropensityError: there is no such variant, the outcome is an amount, or an arm is too small.
    """
    rule = trial.rule
    acting = [name for name in rule.variants if name != NOTHING]
    if variant not in acting:
        raise PropensityError(f"{trial.name} has no variant {variant!r}.", fix=f"its variants are {', '.join(acting)}")
    if not isinstance(definition.outcomes[rule.primary], Outcome):
        raise PropensityError(
            f"{trial.name} is judged by {rule.primary}, an amount.", fix="uplift is learnt of outcomes of yes or no"
        )
    rows = assigned.filter(pl.col("variant").is_in([variant, NOTHING]) & ~pl.col("mixed"))
    rows = rows.select("user", "at", "variant").join(labels, on=["user", "at"])
    _enough(rows, trial, variant)
    features = features_at(log, definition, rows, folder, progress=progress)
    both = rows.join(features, on=["user", "at"]).sort("user")
    happened = both["label"].to_numpy()
    return Arms(
        X=both.select(feature_set(definition).numeric).to_numpy().astype(np.float64),
        treated=(both["variant"] == variant).to_numpy().astype(np.float64),
        y=happened if rule.better == "more" else 1 - happened,
        names=both["user"].to_list(),
        share=rule.variants[variant] / (rule.variants[variant] + rule.variants[NOTHING]),
    )


def learn(arms: Arms, trial: Trial, variant: str, definition: Definition) -> Uplift:
    """Judge each learner on users that it has not seen, fold after fold, and cut the users into groups.

    Args:
        arms: the users.
        trial: the experiment.
        variant: the treated arm.
        definition: the costs of acting.
    """
    keys = np.repeat(salt([f"{trial.id}\x00uplift"]), len(arms.names))
    folds = (evenly(arms.names, keys) * FOLDS).astype(np.int64)
    seen = {name: sequential(one, arms.X, arms.treated, arms.y, folds) for name, one in LEARNERS.items()}
    places = {name: within_folds(one.high - one.low, one.folds) for name, one in seen.items()}
    # effects by the first learner: they are unbiased by any, and rankings are compared on the same ones
    first = seen["s"]
    effects = doubly_robust(arms.y[first.rows], arms.treated[first.rows], first.low, first.high, arms.share)
    judged = {name: targeting(effects, place) for name, place in places.items()}
    learner: Literal["s", "t"] = "t" if judged["t"].qini.low > judged["s"].qini.high else "s"
    low, high = cross_fitted(LEARNERS[learner], arms.X, arms.treated, arms.y, folds)
    rule = definition.outcomes[trial.rule.primary]
    cost = rule.profit.contact / rule.profit.value if isinstance(rule, Outcome) else 0.0
    return Uplift(
        experiment=trial.id, variant=variant, outcome=trial.rule.primary, users=len(arms.y), learner=learner,
        judged=judged, by_risk=targeting(effects, within_folds(-first.low, first.folds)),
        groups=groups_of(places[learner], effects, seen[learner].low, high - low, cost=cost),
        offered=judged[learner].autoc.low > 0,
    )  # fmt: skip


def _enough(rows: pl.DataFrame, trial: Trial, variant: str) -> None:
    for arm in (variant, NOTHING):
        mine = rows.filter(variant=arm)["label"]
        fewest = min(int(mine.sum()), len(mine) - int(mine.sum()))
        if len(mine) < USERS or fewest < HAPPENED:
            raise PropensityError(
                f"{trial.name}: {arm} has {len(mine):,} users whose {trial.rule.primary} is known, and {fewest:,} of "
                "the rarer answer.",
                fix=f"uplift needs {USERS:,} users and {HAPPENED} of each answer in each arm; wait for more, or see "
                f"propensity experiment {trial.name}",
            )
