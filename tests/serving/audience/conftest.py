"""The shared world with the population of its newest batch."""

from dataclasses import dataclass

import pytest

from features.events.log import InMemory
from features.reading.source import EventLog
from serving.audience.population import Population
from serving.scoring.batch import score_all
from serving.scoring.scorer import Scorer
from tests.conftest import World
from tests.serving.conftest import unscored_copy_of


@dataclass(frozen=True)
class Batch:
    """A world and its log, scored at the log's end."""

    world: World
    log: InMemory
    scorer: Scorer

    def score(self, cutoff: int) -> None:
        name, settings = self.world.definition.name, self.world.settings
        score_all(self.log, self.scorer, cutoff, settings.scores(name), population=settings.population(name))

    @property
    def population(self) -> Population:
        return Population(self.world.definition, self.world.settings)


@pytest.fixture(scope="module")
def batch(world: World, scorer: Scorer, tmp_path_factory: pytest.TempPathFactory) -> Batch:
    mine = unscored_copy_of(world, tmp_path_factory.mktemp("batch") / "world")
    made = Batch(mine, InMemory(EventLog(mine.definition).read()), scorer)
    made.score(made.log.ends)
    return made
