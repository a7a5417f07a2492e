"""Models from the MLflow registry: the champion of each outcome, by alias, pinned to its version."""

import logging
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from features.definition.schema import Definition
from features.errors import ScoringError, UnavailableError
from features.settings import Settings
from segments.dependencies import uplift_key
from serving.model.card import damaged
from serving.model.model import Model
from serving.model.registry.places import database_of, folder_of, registry_errors, shown
from serving.model.registry.promoted import Kept, Promoted, registered_name
from serving.model.uplift import UpliftModel

if TYPE_CHECKING:
    from serving.model.registry.asked import Asked

log = logging.getLogger("propensity")


@dataclass(frozen=True, slots=True)
class Loader:
    """Reads champions; it makes nothing where there is nothing, and asks MLflow only where its database has changed.

    Attributes:
        definition: whose outcomes.
        settings: where the registry is.
    """

    definition: Definition
    settings: Settings

    def versions(self) -> dict[str, str]:
        """The number of each outcome's champion, where it has one.

        Raises:
            UnavailableError: the registry does not answer, or is damaged.
        """
        return {outcome: promoted.number for outcome, promoted in self.promoted().items()}

    def promoted(self) -> dict[str, Promoted]:
        """The champion of each outcome that has one.

        Raises:
            UnavailableError: the registry does not answer, or is damaged.
        """
        return self._promoted({outcome: outcome for outcome in self.definition.outcomes})

    def promoted_uplifts(self) -> dict[str, Promoted]:
        """The uplift champion of each experiment that has one.

        Raises:
            UnavailableError: the registry does not answer, or is damaged.
        """
        return self._promoted({name: uplift_key(name) for name in self.definition.uplifts})

    def absence(self) -> str:
        """Say why there is no champion, in a sentence: no registry, none of this definition's models, or no alias."""
        place, name = shown(self._uri), self.definition.name
        if self._is_missing():
            return f"There is no model registry at {place}."
        with registry_errors(self._uri):
            every = self._ask().names()
        mine = every & {registered_name(self.definition, outcome) for outcome in self.definition.outcomes}
        if not every:
            return f"The model registry at {place} is empty."
        if not mine:
            return f"The model registry at {place} holds no model of {name} (but {', '.join(sorted(every)[:5])})."
        return f"The models of {name} at {place} have no champion: no version passed the gate."

    def load(self, outcome: str, version: str) -> Model:
        """Load one version, natively: no pyfunc, no pickle; its files are checked before they are parsed.

        Raises:
            ScoringError: a file is missing, changed, or not what it should be.
            UnavailableError: the registry does not answer, or is damaged.
        """
        named = f"{outcome}/{version}"
        with self._fetched(outcome, version) as (path, card):
            model = Model.load(path, named, card)
        if model.card.outcome != outcome:
            raise ScoringError(
                f"{named} in the registry is a model of {model.card.outcome}.",
                fix=f"propensity rollback {outcome}",
                code="model_damaged",
            )
        if not model.card.digests:
            log.warning("%s was registered without digests: its files are not checked. Train again.", named)
        return model

    def champions(self) -> dict[str, Model]:
        """Load every champion."""
        return {outcome: self.load(outcome, version) for outcome, version in self.versions().items()}

    def load_uplift(self, experiment: str, version: str) -> UpliftModel:
        """Load one version of an experiment's uplift model, as `load` does.

        Raises:
            ScoringError: a file is missing, changed, or not what it should be.
            UnavailableError: the registry does not answer, or is damaged.
        """
        key = uplift_key(experiment)
        named = f"{key}/{version}"
        with self._fetched(key, version) as (path, card):
            model = UpliftModel.load(path, named, card)
        if model.card.name != experiment:
            raise damaged(named, f"it is of the experiment {model.card.name}")
        return model

    def uplifts(self) -> dict[str, UpliftModel]:
        """Load every uplift champion, by experiment."""
        return {name: self.load_uplift(name, promoted.number) for name, promoted in self.promoted_uplifts().items()}

    def _promoted(self, keys: Mapping[str, str]) -> dict[str, Promoted]:
        """By the names asked for, the champions of models by their keys."""
        if self._is_missing():
            return {}
        names = {name: registered_name(self.definition, key) for name, key in keys.items()}
        with registry_errors(self._uri):
            database = database_of(self._uri)
            kept = None if database is None else Kept.of(database)
            found = dict(kept.champions) if kept is not None else {}
            unknown = [name for name in names.values() if name not in found]
            if unknown:
                registry = self._ask()
                more = {name: registry.champion(name) for name in unknown}
                found |= more
                if kept is not None and database is not None:
                    kept.keep(more, database)
        return {name: promoted for name, model in names.items() if (promoted := found[model]) is not None}

    @contextmanager
    def _fetched(self, key: str, version: str) -> Iterator[tuple[Path, str | None]]:
        """A version's files until the end of the block, and the SHA-256 of its card where it is known.

        Raises:
            ScoringError: they are not there.
        """
        name, root = registered_name(self.definition, key), folder_of(self._uri)
        promoted = self._promoted({key: key}).get(key)
        with registry_errors(self._uri):
            if promoted is None or promoted.number != version:
                promoted = self._ask().version(name, version)
        if root is not None and promoted.files is not None:
            yield root / promoted.files, promoted.card
            return
        with tempfile.TemporaryDirectory() as folder:
            try:
                with registry_errors(self._uri):
                    path = self._ask().fetch(name, version, Path(folder))
            except UnavailableError as error:
                if root is None:
                    raise  # a server may answer a moment later
                raise damaged(f"{key}/{version}", error.message.rstrip(".")) from error
            yield path, promoted.card

    @property
    def _uri(self) -> str:
        return self.settings.mlflow_uri

    def _is_missing(self) -> bool:
        """Whether there is no database; MLflow would make an empty one."""
        database = database_of(self._uri)
        return database is not None and not (database.exists() and database.stat().st_size)

    def _ask(self) -> "Asked":
        from serving.model.registry.asked import Asked  # importing MLflow takes two seconds

        return Asked(self._uri)
