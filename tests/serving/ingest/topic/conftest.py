"""A broker for the tests of a topic, and scenes that read it."""

from collections.abc import Iterator

import pytest

from features.settings import Settings
from tests.brokers import Broker, free_topic
from tests.serving.ingest.topic.scenes import TopicScene


@pytest.fixture(scope="session")
def running_broker() -> Iterator[Broker]:
    running = Broker()
    yield running
    running.stop()


@pytest.fixture
def broker(running_broker: Broker) -> Broker:
    """A broker that runs, and is left running."""
    assert running_broker.process.poll() is None
    return running_broker


@pytest.fixture(params=["sqlite", "postgresql"])
def stage(
    request: pytest.FixtureRequest, broker: Broker, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TopicScene]:
    """An empty live log, in SQLite or PostgreSQL, and a topic."""
    folder = tmp_path_factory.mktemp("topic")
    address = "" if request.param == "sqlite" else request.getfixturevalue("postgres")
    settings = Settings(home=folder / "var", live_log=address, kafka=broker.address, kafka_topic=free_topic(request))
    made = TopicScene.set_up(folder, broker, settings)
    yield made
    made.scene.live.close()
