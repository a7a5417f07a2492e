"""Who is moved by acting: the answers of the uplift models, beside those of the outcomes."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from features.definition.columns import feature_set
from features.definition.schema import Definition
from features.definition.sections.experiment import Experiment
from features.expressions.values import Numbers, Texts
from features.rows import FeatureRows
from segments.dependencies import uplift_key
from segments.tiers import SILENT, UPLIFT_TIERS
from serving.model.uplift import UpliftModel
from serving.scoring.serialize import UpliftVersion

#: why there is no answer: the first of these that is true. The third and fourth are about a model that is there: it was
#: learnt on other features, or from an experiment with another variant or outcome
_WHY = ("no_model", "stale_profile", "short_history", "outside_trained_range")
OTHER_FEATURES, OTHER_EXPERIMENT = "feature_digest_mismatch", "other_experiment"


class Uplifts:
    """Answers of the experiments that uplift is learnt from.

    Args:
        definition: its experiments.
        models: the uplift model of each experiment that has one. A model of other features, or of a variant or an
            outcome that the experiment no longer has, answers nothing.
        absent: of experiments by `uplift_key` whose model is there and cannot be loaded, the reason.
    """

    def __init__(self, definition: Definition, models: Mapping[str, UpliftModel], absent: Mapping[str, str]) -> None:
        self._widths = definition.scoring.max_beyond
        self._experiments = list(definition.uplifts)
        whys = {name: _unfit(model, definition.uplifts.get(name), definition) for name, model in models.items()}
        #: those that answer, by experiment
        self.models = {name: model for name, model in models.items() if not whys[name]}
        #: those that do not, as `uplift_key` writes them
        self.unfit = frozenset(uplift_key(name) for name, why in whys.items() if why)
        self._why = {name: whys.get(name) or absent.get(uplift_key(name), _WHY[0]) for name in self._experiments}
        self.versions = {
            name: UpliftVersion(model.version, model.card.variant) if (model := self.models.get(name)) else None
            for name in self._experiments
        }

    def of(self, rows: FeatureRows, old: NDArray[np.bool_], short: NDArray[np.bool_]) -> dict[str, Numbers | Texts]:
        """The columns of all experiments.

        Args:
            rows: feature rows.
            old: whose profile is too old to say anything.
            short: whose history is too short.
        """
        columns: dict[str, Numbers | Texts] = {}
        for name in self._experiments:
            model = self.models.get(name)
            columns |= self._without(name, len(rows)) if model is None else self._answer(name, model, rows, old, short)
        return columns

    def _without(self, name: str, count: int) -> dict[str, Numbers | Texts]:
        nothing = dict.fromkeys(_numbers_of(name), np.full(count, np.nan))
        why = Texts(np.zeros(count, dtype=np.int64), (self._why[name],))
        return {**nothing, f"{name}_uplift_tier": _tiers(np.full(count, -1), ()), f"{name}_uplift_why": why}

    def _answer(
        self, name: str, model: UpliftModel, rows: FeatureRows, old: NDArray[np.bool_], short: NDArray[np.bool_]
    ) -> dict[str, Numbers | Texts]:
        outside = model.outside(rows.matrix, self._widths)
        why = np.where(old, 1, np.where(short, 2, np.where(outside, 3, -1)))
        asked, groups = why < 0, model.card.groups
        answers, place = np.full((4, len(rows)), np.nan), np.full(len(rows), -1)
        if asked.any():
            predicted = model.predict(rows.matrix if asked.all() else rows.matrix[asked])
            place[asked] = at = model.group_of(predicted)
            seen = np.array([(group.effect, group.low, group.high) for group in groups])
            answers[:, asked] = np.vstack([predicted, seen[at].T])
        return {
            **dict(zip(_numbers_of(name), answers, strict=True)),
            f"{name}_uplift_tier": _tiers(place, tuple(group.tier for group in groups)),
            f"{name}_uplift_why": Texts(why, _WHY),
        }


def _unfit(model: UpliftModel, rule: Experiment | None, definition: Definition) -> str:
    """Why a model cannot answer for an experiment; empty where it can."""
    card = model.card
    if card.feature_digest != feature_set(definition).digest:
        return OTHER_FEATURES
    if rule is None or card.variant not in rule.variants or (card.outcome, card.better) != (rule.primary, rule.better):
        return OTHER_EXPERIMENT
    return ""


def _numbers_of(name: str) -> tuple[str, ...]:
    return f"{name}_uplift", f"{name}_uplift_effect", f"{name}_uplift_low", f"{name}_uplift_high"


def _tiers(place: NDArray[np.int64], tiers: tuple[str, ...]) -> Texts:
    """Tiers by the place among a model's groups, two of which may have the same; -1 is not enough to say."""
    codes = np.array([*map(UPLIFT_TIERS.index, tiers), UPLIFT_TIERS.index(SILENT)])
    return Texts(codes[place], UPLIFT_TIERS)
