"""The uplift model that may serve, and the written gate before it."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from features.definition.columns import feature_set
from features.definition.schema import Definition
from monitoring.statistics.effects.balance import balance
from monitoring.uplift.learners import LEARNERS
from monitoring.uplift.learnt import Arms, Uplift
from segments.dependencies import uplift_key
from segments.variants import Trial
from serving.model.card import Measure, Ranges
from serving.model.uplift import UpliftCard, UpliftGroup, UpliftModel
from training.evaluation.gate import Criterion, passes

#: names of criteria: the second keeps a model from serving, and its tiers are offered all the same
SAMPLE_RATIO, OTHER_VARIANT = "sample ratio", "other variant"


@dataclass(frozen=True, slots=True)
class Judged:
    """An uplift model and what the gate says of it.

    Attributes:
        found: what was learnt.
        criteria: what it has to show.
        version: ``uplift.<experiment>/<number>`` in the registry; None before it is registered.
    """

    found: Uplift
    criteria: list[Criterion]
    version: str | None = None

    @property
    def offered(self) -> bool:
        """Whether tiers are offered."""
        return passes([one for one in self.criteria if one.name != OTHER_VARIANT])

    @property
    def promoted(self) -> bool:
        """Whether it serves."""
        return passes(self.criteria)

    @property
    def words(self) -> str:
        """The verdict in a sentence."""
        for one in self.criteria:
            if one.name == SAMPLE_RATIO and one.passed is False:
                return f"the arms are not as planned ({one.found}): no effect can be trusted, and no tiers are offered"
        return self.found.words


def fitted(found: Uplift, arms: Arms, trial: Trial, definition: Definition) -> UpliftModel:
    """Fit the learner that was chosen on all users of both arms.

    Args:
        found: what was learnt, with the groups and the judgement of users who were not used in a fit.
        arms: the users.
        trial: the experiment.
        definition: its features.
    """
    features, autoc = feature_set(definition), found.judged[found.learner].autoc
    card = UpliftCard(
        name=trial.name, experiment=found.experiment, variant=found.variant, outcome=found.outcome,
        better=trial.rule.better, definition=definition.version, feature_digest=features.digest,
        features=list(features.numeric), learner=found.learner, ranges=Ranges.of(arms.X),
        groups=[UpliftGroup(least=g.least, effect=g.effect, low=g.low, high=g.high, tier=g.tier)
                for g in found.groups],
        users=found.users, autoc=Measure(value=autoc.value, low=autoc.low, high=autoc.high), words=found.words,
    )  # fmt: skip
    responses = LEARNERS[found.learner](arms.X, arms.treated, arms.y)
    return UpliftModel(responses, card, f"{uplift_key(trial.name)}/new")


def criteria_of(
    found: Uplift, model: UpliftModel, arms: Arms, assigned: pl.DataFrame, trial: Trial, champion: UpliftModel | None
) -> list[Criterion]:
    """What an uplift model has to show before it serves.

    Args:
        found: what was learnt.
        model: fitted on all users.
        arms: the users.
        assigned: everybody who was assigned, `serving.activation.assignments.ASSIGNED`.
        trial: the experiment.
        champion: the model that serves; None where none does.
    """
    autoc = found.judged[found.learner].autoc
    reach = f"{autoc.value:+.4f} ({autoc.low:+.4f} to {autoc.high:+.4f}), on users not used in the fit"
    return [
        _as_planned(assigned, trial),
        Criterion("AUTOC", "an interval above 0", reach, found.offered),
        _other_variant(found, champion),
        _saved_alike(model, arms),
    ]


def _as_planned(assigned: pl.DataFrame, trial: Trial) -> Criterion:
    """Whether as many users are in each arm as were planned; where not, no effect can be trusted."""
    one_arm, shares = assigned.filter(~pl.col("mixed")), trial.rule.variants
    checked = balance([int((one_arm["variant"] == name).sum()) for name in shares], list(shares.values()))
    return Criterion(SAMPLE_RATIO, "p at least .001", f"p {checked.p_value:.4f}", not checked.stop)


def _other_variant(found: Uplift, champion: UpliftModel | None) -> Criterion:
    """A model of another variant takes the place of the champion only where it ranks users better."""
    needed = "an AUTOC above that of another variant that serves"
    if champion is None or champion.card.variant == found.variant or champion.card.experiment != found.experiment:
        return Criterion(OTHER_VARIANT, needed, "none serves", None)
    mine, other = found.judged[found.learner].autoc.value, champion.card.autoc.value
    words = f"{mine:+.4f}, and {other:+.4f} of {champion.card.variant} ({champion.version})"
    return Criterion(OTHER_VARIANT, needed, words, mine > other)


def _saved_alike(model: UpliftModel, arms: Arms) -> Criterion:
    """Whether what is read back from the files says the same, of many users and of one at a time."""
    with tempfile.TemporaryDirectory() as folder:
        model.save(Path(folder))
        saved = UpliftModel.load(Path(folder), model.version)
    some = arms.X[:200]
    many, single = saved.predict(some), np.array([saved.predict(row[None])[0] for row in some])
    different = int((~np.isclose(model.predict(some), many, rtol=0, atol=0)).sum() + (many != single).sum())
    return Criterion("saved alike", "the same predictions from its files", f"{different} differ", different == 0)
