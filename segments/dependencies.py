"""What a segment rests on: nothing is known of who is in it while a model that its rule names is missing."""

from features.definition.schema import Definition
from features.definition.sections.rule import Segment

#: what the names of uplift models begin with
UPLIFT = "uplift."


def uplift_key(experiment: str) -> str:
    """What the uplift model of an experiment is called among models, where an outcome's has the outcome's name."""
    return f"{UPLIFT}{experiment}"


def models_in(rule: Segment, definition: Definition) -> frozenset[str]:
    """The models whose answer a segment's rule names, when one enters it or until one leaves.

    Args:
        rule: the segment's.
        definition: whose outcomes and experiments.

    Returns:
        Names of outcomes, and of experiments as `uplift_key` writes them.
    """
    named = rule.when.columns | (rule.exit_when.columns if rule.exit_when else frozenset())
    columns_of = {
        name: {f"{name}_{key}" for key in ("tier", "percentile", outcome.answer)}
        for name, outcome in definition.outcomes.items()
    }
    columns_of |= {uplift_key(name): {f"{name}_uplift", f"{name}_uplift_tier"} for name in definition.uplifts}
    return frozenset(model for model, columns in columns_of.items() if columns & named)
