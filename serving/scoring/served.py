"""What is served: the scorer with the champions that could be loaded, and why the others could not."""

import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass

from features.definition.schema import Definition
from features.errors import PropensityError
from features.settings import Settings
from segments.dependencies import UPLIFT, uplift_key
from segments.rfm_cuts import load_cuts
from serving.model.registry.loader import Loader
from serving.model.registry.promoted import Promoted
from serving.model.uplift import UpliftModel
from serving.process.metrics import REFUSED_MODELS, SERVED
from serving.scoring.scorer import Scorer

log = logging.getLogger("propensity")

#: how often the registry is asked for champions
POLL_SECONDS = 2.0

#: what a likelihood says where loading its champion failed with an unexpected error
UNLOADABLE = "model_damaged"


@dataclass(slots=True)
class Refusal:
    """A champion that cannot be served.

    Attributes:
        version: ``outcome/number``.
        card: SHA-256 of its card, where it is known.
        code: of the error.
        message: the error in words.
        rounds: how often it has been asked for since.
    """

    version: str
    card: str | None
    code: str
    message: str
    rounds: int = 0

    @classmethod
    def of(cls, version: str, card: str | None, error: Exception) -> "Refusal":
        """Say why; of an unexpected error only the type, since its message may hold anything."""
        if isinstance(error, PropensityError):
            return cls(version, card, error.code, str(error))
        return cls(version, card, UNLOADABLE, f"{version} cannot be loaded ({type(error).__name__}).")


class Served:
    """The scorer of a definition, with each outcome's champion as it is promoted.

    A champion that does not load or fit, whatever the reason, leaves the old one serving; where there is no old one,
    the other outcomes are served without it, and its likelihoods say why. What was refused is tried again after
    1, 2, 4, … rounds: the reason may have been a store that was away.

    Args:
        definition: what is served.
        settings: where the registry is.

    Raises:
        UnavailableError: the registry does not answer, or is damaged.
    """

    def __init__(self, definition: Definition, settings: Settings) -> None:
        self._definition, self._settings = definition, settings
        self._loader = Loader(definition, settings)
        self._refused: dict[str, Refusal] = {}
        #: one for a whole answer, whatever is promoted meanwhile
        self.scorer = Scorer(definition, {}, load_cuts(definition, settings))
        self.refresh()

    @property
    def refused(self) -> dict[str, str]:
        """Why a champion is not served, by outcome."""
        return {name: refusal.message for name, refusal in list(self._refused.items())}

    def refresh(self) -> bool:
        """Load the champions promoted since, and RFM cut-offs.

        Returns:
            Whether anything changed.
        """
        served, scorer = self.scorer.loaded, self.scorer
        promoted = self._promoted()
        for key, champion in promoted.items():
            model = scorer.loaded.get(key)
            if model and (model.version, model.card_digest) == (f"{key}/{champion.number}", champion.card):
                self._forget(key)
            elif self._is_due(key, champion):
                scorer = self._with(scorer, key, champion)
        for key in self._refused.keys() - promoted.keys():
            self._forget(key)
        absent = {key: refusal.code for key, refusal in self._refused.items() if key not in scorer.loaded}
        cuts, uplifts = load_cuts(self._definition, self._settings), self._left(scorer, promoted)
        if cuts != scorer.rfm or absent != scorer.absent or uplifts.keys() != scorer.uplifts.keys():
            scorer = Scorer(self._definition, scorer.models, cuts, absent, uplifts)
            scorer.warm_up()
        if scorer is self.scorer:
            return False
        self.scorer = scorer
        for key, model in served.items():
            SERVED.labels(key, model.version).set(0)
        for key, model in scorer.loaded.items():
            SERVED.labels(key, model.version).set(1)
        return True

    def _promoted(self) -> dict[str, Promoted]:
        """The champions, of outcomes and of uplift, by the keys of `Scorer.loaded`."""
        uplifts = {uplift_key(name): promoted for name, promoted in self._loader.promoted_uplifts().items()}
        return {**self._loader.promoted(), **uplifts}

    def _left(self, scorer: Scorer, promoted: Mapping[str, Promoted]) -> dict[str, UpliftModel]:
        """The uplift models that were not withdrawn; a registry that has lost everything withdraws nothing."""
        if not promoted and scorer.models:
            return scorer.uplifts
        return {name: model for name, model in scorer.uplifts.items() if uplift_key(name) in promoted}

    def watch(self, stopped: threading.Event) -> None:
        """Load champions as they are promoted, until it is stopped."""
        while not stopped.wait(POLL_SECONDS):
            try:
                self.refresh()
            except Exception:
                # the registry may be away for a while; what is loaded keeps serving, and the next round asks again
                log.exception("cannot ask the registry for champions")

    def _with(self, scorer: Scorer, key: str, champion: Promoted) -> Scorer:
        """The scorer with a champion; as it was, where that cannot be loaded."""
        try:
            candidate = self._loaded(scorer, key, champion.number)
            candidate.warm_up()
        except Exception as error:
            # no fault of one model may take down what the others, or the old one, answer
            self._refuse(key, champion, scorer.loaded.get(key), error)
            return scorer
        self._forget(key)
        log.info("now serving %s/%s", key, champion.number)
        return candidate

    def _loaded(self, scorer: Scorer, key: str, number: str) -> Scorer:
        models, uplifts = dict(scorer.models), dict(scorer.uplifts)
        if key in self._definition.outcomes:
            models[key] = self._loader.load(key, number)
        else:
            name = key.removeprefix(UPLIFT)
            uplifts[name] = self._loader.load_uplift(name, number)
        return Scorer(self._definition, models, scorer.rfm, scorer.absent, uplifts)

    def _is_due(self, outcome: str, champion: Promoted) -> bool:
        """Whether a champion is to be tried in this round."""
        refusal = self._refused.get(outcome)
        if refusal is None or (refusal.version, refusal.card) != (f"{outcome}/{champion.number}", champion.card):
            self._forget(outcome)
            return True
        refusal.rounds += 1
        return refusal.rounds.bit_count() == 1

    def _refuse(self, outcome: str, champion: Promoted, old: object, error: Exception) -> None:
        """Say once, and in the metrics, that a champion cannot be served."""
        if outcome not in self._refused:
            version = f"{outcome}/{champion.number}"
            self._refused[outcome] = Refusal.of(version, champion.card, error)
            REFUSED_MODELS.labels(outcome, version).set(1)
            served, why = getattr(old, "version", "no model"), self._refused[outcome].message
            log.error("champion %s cannot be served, %s is served instead: %s", version, served, why)

    def _forget(self, outcome: str) -> None:
        if (refusal := self._refused.pop(outcome, None)) is not None:
            REFUSED_MODELS.labels(outcome, refusal.version).set(0)
