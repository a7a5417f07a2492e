"""What a segment rests on: nothing is known of who is in it while a model that its rule names is missing."""

from features.definition.schema import Definition
from features.definition.sections.rule import Segment


def outcomes_in(rule: Segment, definition: Definition) -> frozenset[str]:
    """The outcomes whose answer a segment's rule names, when one enters it or until one leaves.

    Args:
        rule: the segment's.
        definition: whose outcomes.
    """
    named = rule.when.columns | (rule.exit_when.columns if rule.exit_when else frozenset())
    columns_of = {
        name: {f"{name}_{key}" for key in ("tier", "percentile", outcome.answer)}
        for name, outcome in definition.outcomes.items()
    }
    return frozenset(outcome for outcome, columns in columns_of.items() if columns & named)
