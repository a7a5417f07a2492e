"""The names that are taken: every column that stands beside the features of a user, and every value we give."""

from collections.abc import Iterator

from features.definition.columns import feature_set
from features.definition.schema import Definition
from features.errors import DefinitionError

#: tiers of likelihoods and of amounts, from above down; the last when there is not enough to say
TIERS = ("most_likely", "moderately_likely", "least_likely", "not_enough_to_say")
VALUE_TIERS = ("high", "medium", "low", "not_enough_to_say")

#: tiers of uplift; the last when there is not enough to say
UPLIFT_TIERS = ("persuadable", "sure_thing", "lost_cause", "do_not_disturb", "unsure", "not_enough_to_say")

RFM_GROUPS = (
    "About To Sleep", "At Risk", "Cannot Lose Them", "Champions", "Hibernating", "Loyal Users", "Needs Attention",
    "New Users", "Potential Loyalists", "Promising",
)  # fmt: skip
RFM_NAMES = ("rfm_group", "rfm_r", "rfm_f", "rfm_m", "rfm_score")

#: what users have been worth, of the definition's money
VALUE_TO_DATE_COLUMNS = ("value_to_date_total", "value_to_date_average", "value_to_date_every_days")

#: columns of our own that stand in one frame with the features or the traits of a user, or with a number an outcome
INTERNAL = frozenset({
    "user", "user_id", "cutoff", "through", "last_seen", "as_of", "state", "segments", "leaves", "holdout",
    "definition", "rfm", "intent", "leads", "value_to_date", "known", "traits", "profile", "created", "event_timestamp",
    "date", "row", "weight", "label", "slice", "unseen", "drawn", "place", "reasons", "change",
    "entity_row_id", "event_expire_timestamp",  # of Feast's joins
    "name", "segment", "users", "value", "before", "after", "tier", "outcome",
})  # fmt: skip

#: Feast's joins take columns that end like this for their own, and leave them out
JOINED = "_y"

#: what the report calls all users, beside its segments
EVERYBODY = "everybody"

#: of each outcome beside its answer, and of each lead score
OF_OUTCOME, OF_LEAD = ("percentile", "tier", "why", "detail", "extrapolated", "label"), ("points", "lines")

#: of each experiment that uplift is learnt from
OF_UPLIFT = ("uplift", "uplift_effect", "uplift_low", "uplift_high", "uplift_tier", "uplift_why")


def check_names(definition: Definition) -> None:
    """Check that no two columns of a user have the same name, and that nothing has a name of our own.

    Raises:
        DefinitionError: names the two, and which of them to rename; or a name that Feast cannot hold.
    """
    taken = dict.fromkeys((*INTERNAL, *RFM_NAMES, *VALUE_TO_DATE_COLUMNS), "one of our own")
    for name, whose in _columns(definition):
        if (other := taken.get(name.lower())) is not None:
            raise DefinitionError(
                f"{whose} makes a column {name!r}, which is the name of another column ({other}).",
                fix=f"rename {whose.split()[-1]}",
            )
        taken[name.lower()] = whose
    features = feature_set(definition)
    for name in (*features.numeric, *features.traits):
        if name.endswith(JOINED):
            whose = next(whose for made, whose in _columns(definition) if made == name)
            raise DefinitionError(
                f"{whose} makes a column {name!r}: Feast leaves out columns that end with {JOINED!r}.",
                fix=f"rename {whose.split()[-1]}",
            )
    for outcome in definition.outcomes:
        if outcome in INTERNAL:
            raise DefinitionError(
                f"outcomes.{outcome}: {outcome!r} is the name of a column of our own.", fix="give it another name"
            )
    if EVERYBODY in definition.segments:
        raise DefinitionError(
            f"segments.{EVERYBODY}: that is what the report calls all users.", fix="give it another name"
        )


def known_values(definition: Definition) -> dict[str, tuple[str, ...]]:
    """The values that a column can have, of the columns whose values we give."""
    tiers: dict[str, tuple[str, ...]] = {f"{name}_tier": TIERS for name in definition.likelihoods}
    tiers |= {f"{name}_tier": VALUE_TIERS for name in definition.amounts}
    tiers |= {f"{name}_uplift_tier": UPLIFT_TIERS for name in definition.uplifts}
    return {"state": tuple(definition.states), "rfm_group": RFM_GROUPS, **tiers}


def _columns(definition: Definition) -> Iterator[tuple[str, str]]:
    """The columns that a definition makes, with what makes them."""
    features = feature_set(definition)
    for name in features.read:
        yield name, _signal_of(name, definition)
    for name in features.derived:
        yield name, f"derived.{name}"
    for name in features.traits:
        yield name, f"trait {name}"
    for outcome, rule in definition.outcomes.items():
        for part in (rule.answer, *OF_OUTCOME):
            yield f"{outcome}_{part}", f"outcomes.{outcome}"
        yield f"label_{outcome}", f"outcomes.{outcome}"
    for lead in definition.leads:
        for part in OF_LEAD:
            yield f"{lead}_{part}", f"leads.{lead}"
    for experiment in definition.uplifts:
        for part in OF_UPLIFT:
            yield f"{experiment}_{part}", f"experiments.{experiment}"


def _signal_of(column: str, definition: Definition) -> str:
    """What a feature is of: what makes columns that begin so, else the signal with the longest name that it holds."""
    for signal, rule in definition.signals.items():
        for of in rule.more_values:
            if column.startswith(f"{signal}_{of}_"):
                return f"a feature of signals.{signal}.more_values.{of}"
        for of in rule.distinct:
            if column.startswith(f"{signal}_distinct_{of}_"):
                return f"a feature of signals.{signal}.distinct.{of}"
    named = [name for name in definition.signals if name in column]
    return f"a feature of signals.{max(named, key=len)}" if named else "a feature of every user"
