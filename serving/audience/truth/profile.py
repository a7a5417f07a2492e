"""One user's stored profile, read at any later instant as if nothing had happened."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from features.definition.columns import feature_set
from features.definition.schema import Definition
from features.expressions.values import Texts, Value
from features.profile.fold import profile_rows
from features.profile.layout import H_VISIBLE, Words
from features.rows import FeatureRows
from features.time import Instants
from serving.scoring.scorer import Scorer

if TYPE_CHECKING:  # Feast takes seconds to import
    from features.feature_store import OnlineProfiles


@dataclass(frozen=True, slots=True)
class Profile:
    """One user's profile.

    Attributes:
        user: the user.
        words: the unpacked profile, ``[1, words]``.
        traits: the traits known.
        as_of: the instant the table is about; the profile holds nothing later.
        through: the log is folded in through this instant; later it is taken to lag behind as much as now.
    """

    user: str
    words: Words
    traits: Mapping[str, str | None]
    as_of: int
    through: int

    @classmethod
    def stored(cls, store: "OnlineProfiles", user: str, as_of: int) -> "Profile | None":
        """The profile of a store; None of who has none.

        Args:
            store: the profiles.
            user: whose; an id that was merged into another one's is that person.
            as_of: the instant; where the profile has seen something later, it is right after that.

        Raises:
            UnavailableError: the store does not answer.
        """
        found = store.read_covered([user])
        for name, profile in found.profiles.items():
            words = store.unpack([profile])
            seen = max(int(words[0, H_VISIBLE]), profile.visible_from)
            return cls(name, words, profile.traits, max(as_of, seen), profile.through)
        return None


class Reading:
    """Reads a profile at many instants at once.

    Args:
        profile: the profile.
        scorer: what answers; its definition says what is read.
    """

    def __init__(self, profile: Profile, scorer: Scorer) -> None:
        self._profile, self._scorer = profile, scorer
        self._of_row = {*feature_set(scorer.definition).numeric, *feature_set(scorer.definition).traits}

    def rows(self, instants: Instants) -> FeatureRows:
        """The feature rows at instants."""
        count, definition = len(instants), self._scorer.definition
        words = np.repeat(self._profile.words, count, axis=0)
        traits = {name: Texts.of([self._profile.traits.get(name)] * count) for name in feature_set(definition).traits}
        return profile_rows([self._profile.user] * count, words, instants, definition, traits)

    def values(self, instants: Instants, columns: Collection[str]) -> dict[str, Value]:
        """Columns at instants; only what needs it is scored."""
        rows = self.rows(instants)
        if self._of_row.issuperset(columns):
            return rows.values(columns)
        lag, needed = self._profile.as_of - self._profile.through, outcomes_of(columns, self._scorer.definition)
        return self._scorer.only(needed).score(rows, instants - lag).values(columns)


def outcomes_of(columns: Collection[str], definition: Definition) -> set[str]:
    """The outcomes whose answers are among columns."""
    return {
        name for name, rule in definition.outcomes.items()
        if not {f"{name}_{key}" for key in (rule.answer, "percentile", "tier")}.isdisjoint(columns)
    }  # fmt: skip
