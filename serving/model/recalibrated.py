"""A model with its answers moved: the same order, features and reasons, and a card of the moved answers."""

from dataclasses import replace

import numpy as np

from segments.tiers import TierCuts
from serving.model.card import ModelCard, Recalibrated
from serving.model.model import Model
from serving.model.numbers import Recalibration

#: policies of tiers that are about users, so that their cut-offs move with the answers; the others are about answers
ABOUT_USERS = ("lift", "capacity")


def recalibrated(model: Model, by: Recalibration, note: Recalibrated) -> Model:
    """Move a model's answers.

    Percentiles, base rate and the tier cut-offs by lift and capacity move with the answers, so that every user stays
    where they were. Cut-offs that are probabilities of the definition (``fixed``, ``profit``) stay.

    Args:
        model: whose answers are moved.
        by: how.
        note: what the card says of it.

    Returns:
        The model, as ``outcome/new``.
    """
    numbers = model.numbers
    moved = by.after(numbers.calibration.moved)
    calibration = numbers.calibration.model_copy(update={"moved": moved})
    card = model.card.model_copy(update={**_of_answers(model.card, by), "recalibrated": note, "digests": {}})
    return replace(
        model,
        numbers=numbers.model_copy(update={"calibration": calibration}),
        card=card,
        version=f"{card.outcome}/new",
        card_digest=None,
    )


def _of_answers(card: ModelCard, by: Recalibration) -> dict[str, object]:
    """What a card says of the answers of the rows fitted on, of moved ones."""
    before = np.array(card.percentiles)
    after = by.apply(before)
    # each percentile stands for as many users, so that their mean moves as the mean of all answers does
    rate = card.base_rate * float(after.mean() / before.mean()) if before.mean() > 0 else card.base_rate
    return {"percentiles": after.tolist(), "base_rate": rate, "tiers": _cuts(card.tiers, by)}


def _cuts(cuts: TierCuts, by: Recalibration) -> TierCuts:
    if cuts.policy not in ABOUT_USERS:
        return cuts
    most, least = by.apply(np.array([cuts.most, cuts.least])).tolist()
    return cuts.model_copy(update={"most": most, "least": least})
