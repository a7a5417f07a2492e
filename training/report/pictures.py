"""Which pictures show a judged model, and what they call things: of likelihoods, and of amounts."""

from collections.abc import Mapping
from dataclasses import dataclass

import altair as alt

from features.definition.sections.outcome import Outcome, ValueOutcome
from training.report import model_plots as plots


@dataclass(frozen=True, slots=True)
class Pictures:
    """Pictures of an outcome's model.

    Attributes:
        rule: the outcome.
        terms: what pictures call things.
        captions: of pictures that show something else than those of likelihoods do.
    """

    rule: Outcome | ValueOutcome
    terms: plots.Terms
    captions: Mapping[str, str]

    def own(self, judged: plots.Judged) -> dict[str, alt.Chart]:
        """Pictures that the other kind of outcome has not: what contacting pays."""
        return {"profit": plots.profit(judged, self.rule.profit)} if isinstance(self.rule, Outcome) else {}


def pictures_of(rule: Outcome | ValueOutcome) -> Pictures:
    """The pictures of an outcome."""
    if isinstance(rule, Outcome):
        return Pictures(rule, plots.LIKELIHOODS, {})
    return Pictures(rule, plots.AMOUNTS, _OF_AMOUNTS)


_OF_AMOUNTS = {
    "gains": "How much of the value the best users bring, beside the baselines.",
    "lift": "How much more each tenth of the users is worth.",
    "calibration": "What the model says and what came: on the line, an amount can be taken at its word.",
    "slices": "Observed and expected means of states and of newer and older users.",
    "base_rates": "What users were worth in the past, by snapshot.",
}
