"""Controls with the values that there are: texts to choose from, and between what numbers lie."""

from dataclasses import replace

from features.errors import PropensityError
from serving.audience.population import Population
from serving.audience.sentences.tree import Among, Leaf, Limited, Trait
from serving.audience.sentences.write import column
from serving.audience.suggestions import Suggestions, suggestions
from serving.console.builder.controls import Control, controls
from serving.console.catalogue import Catalogue


def suggested(leaf: Leaf, population: Population, words: Catalogue) -> list[Control]:
    """The controls of a condition, with suggestions; without them where nothing is known of the column.

    Args:
        leaf: the condition.
        population: everybody.
        words: the language.
    """
    found = controls(leaf, population.definition)
    if not isinstance(leaf, Limited | Among):
        return found
    try:
        name = column(leaf, population.definition).strip('"')
        known = population.made(f"suggestions of {name}", lambda: suggestions(population, name))
    except PropensityError:  # the size says what is wrong
        return found
    return [_with(control, known, leaf, words) for control in found]


def _with(control: Control, known: Suggestions, leaf: Leaf, words: Catalogue) -> Control:
    if isinstance(leaf, Trait) and control.name == "values":
        texts = dict.fromkeys([*(text for text, _ in known.texts), *(leaf.values if leaf.values != ["?"] else ())])
        return replace(control, options=tuple(texts))
    if control.shape == "number" and known.quartiles is not None:
        least, _, middle, _, most = known.quartiles
        return replace(control, hint=words("builder.hint", least=least, middle=middle, most=most))
    return control
