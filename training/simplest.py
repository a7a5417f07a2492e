"""Which kind of model is served: on a tie the simplest that is as good."""

from typing import get_args

from serving.card import Kind
from training.evaluate import Judgement

#: the simplest first
KINDS: tuple[Kind, ...] = get_args(Kind)


def simplest(judgement: Judgement, loss: str, order: str, margin: float) -> Kind:
    """Choose among kinds judged on the same rows.

    A simpler one is taken if its loss is at most ``margin`` larger, relatively, than the blend's, and neither loss nor
    order tells the two apart: both paired intervals include 0.

    Args:
        judgement: of all `KINDS`, by name.
        loss: the metric that is least for the best model.
        order: the metric of order that is largest for it.
        margin: see there.
    """
    for kind in KINDS[:-1]:
        more = judgement.ahead(kind, "blend", loss, relative=True)
        less = judgement.ahead(kind, "blend", order)
        worse = more.low is None or more.low > 0 or less.high is None or less.high < 0
        if not worse and more.value <= margin:
            return kind
    return "blend"
