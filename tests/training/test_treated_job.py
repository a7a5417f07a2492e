"""A training where users were acted on and nobody was held out: it is counts everywhere, and nothing is promoted."""

from pathlib import Path

import mlflow
import polars as pl
import pytest

from features.event_store.store import EventStore
from features.events.draws import evenly
from features.reading.source import EventLog
from features.settings import Settings
from features.time import DAY, Clock
from serving.activation.hand_offs import MOVES, HandOffs
from serving.activation.memberships import Memberships
from serving.database.log.live_log import LiveLog
from serving.model.registry.loader import Loader
from tests.conftest import World
from tests.training.outcomes import CHURN, quiet
from training.job import train


class Planted(HandOffs):
    """Two of five users are handed off each week, and nobody is held out."""

    users: list[str]

    def moves(self, start: int) -> pl.DataFrame:
        chosen = [user for user in self.users if evenly([user])[0] < 0.4]
        weeks = pl.DataFrame({"moved": range(start, start + 400 * DAY, 7 * DAY)})
        every = pl.DataFrame({"user": chosen}).join(weeks, how="cross")
        return every.with_columns(held_out=False, share=0.05, dimension=pl.lit("segments.cart")).cast(dict(MOVES))


@pytest.mark.long
def test_a_test_of_treated_users_promotes_nothing(untrained_world: World, tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    definition = untrained_world.redefined(outcomes={"churn": CHURN}, leads={}, segments={})
    store = EventStore.open(EventLog(definition), settings)
    hand_offs = Planted(definition, Memberships(definition, LiveLog.open(definition, settings), Clock()))
    hand_offs.users = store.read().users.to_list()
    [result] = train(definition, settings, steps=quiet, hand_offs=hand_offs)
    assert result.card is not None, result.refusal
    counts = result.card.treated
    assert counts is not None
    assert 0.3 < counts.test < 0.5
    assert not counts.replaced
    assert not result.promoted
    assert Loader(definition, settings).champions() == {}
    [criterion] = [c for c in result.criteria if c.name == "treated labels"]
    assert criterion.passed is False
    [finding] = [f for f in result.findings if f.check == "treated"]
    assert finding.alarm
    assert not finding.fails
    assert counts.words in result.card.learnt
    page = Path(result.report).read_text()
    assert "treated labels" in page
    assert "are of users who were acted on" in page
    run = mlflow.MlflowClient(settings.mlflow_uri, settings.mlflow_uri).get_run(result.run)
    assert float(run.data.params["treated_test"]) == counts.test
    assert run.data.params["treated_replaced"] == "False"
    assert run.data.metrics["gate.treated_labels"] == 0.0
