"""Which kind of model is served: on a tie the simplest that is as good."""

from typing import get_args

from serving.model.card import Kind
from training.evaluation.judgement import Judgement

#: the simplest first
KINDS: tuple[Kind, ...] = get_args(Kind)


def simplest(judgement: Judgement, loss: str, order: str, margin: float) -> Kind:
    """Choose among kinds judged on the same rows.

    A simpler one is taken if it is shown to be as good: its loss is at most ``margin`` (relative) above the blend's
    with 97.5 % confidence, and its order is not worse with an interval that excludes 0. Where few rows leave both
    possible the blend serves: a choice by chance would put a third of the users into other tiers the next time.

    Args:
        judgement: of the `KINDS` that can answer the outcome, by name.
        loss: the metric that is least for the best model.
        order: the metric of order that is largest for it.
        margin: see there.
    """
    for kind in (kind for kind in KINDS[:-1] if kind in judgement.point):
        more = judgement.ahead(kind, "blend", loss, relative=True)
        less = judgement.ahead(kind, "blend", order)
        if more.high is not None and more.high <= margin and less.high is not None and less.high >= 0:
            return kind
    return "blend"
