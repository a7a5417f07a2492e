"""A small log with a live path beside it, and a topic of Kafka that is read into it."""

import json
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from features.reading.live_messages import Message
from features.settings import Settings
from features.time import DAY, HOUR, Clock, to_datetime
from serving.database.log.live_log import LiveLog
from serving.ingest.topic.consumer import Topic
from serving.ingest.topic.place import Partition, Start, partitions_of, restarted
from serving.ingest.topic.reader import TopicReader
from serving.ingest.tracking import as_sent
from tests.brokers import Broker, partition_of
from tests.serving.ingest.asking import until
from tests.serving.ingest.scenes import BEGIN, Scene, message

#: the reader's clock, unless a test says otherwise
NOW = BEGIN + DAY


@dataclass
class TopicScene:
    """A scene and a topic."""

    scene: Scene
    broker: Broker
    settings: Settings

    @classmethod
    def set_up(cls, folder: Path, broker: Broker, settings: Settings, **options: Any) -> "TopicScene":
        return cls(Scene.set(folder, settings, **options), broker, settings)

    @property
    def topic(self) -> str:
        return self.settings.kafka_topic

    def write(self, *values: object, partition: int = 0, at: int = BEGIN + HOUR) -> None:
        """Write values to a partition, at an instant in microseconds."""
        self.broker.write(self.topic, *values, partition=partition, at=at // 1_000)

    def write_messages(self, messages: Sequence[Message]) -> None:
        """Write messages of the tracking API, each to its user's partition at the instant at which it was received."""
        for one in messages:
            self.write(json.loads(as_sent(one)), partition=partition_of(one.user), at=one.received)

    def reader(self, now: int = NOW, live: LiveLog | None = None, **changed: Any) -> TopicReader:
        settings = self.settings.model_copy(update=changed)
        clock = Clock(to_datetime(now))
        return TopicReader(self.scene.definition, settings, live or self.scene.live, clock, lambda: None)

    def read(self, now: int = NOW, **changed: Any) -> None:
        """Read all that is there, as a process that starts, and stop."""
        reader = self.reader(now, **changed)
        reader.start()
        try:
            until(lambda: reader.trouble or self.waiting == 0)
            assert reader.trouble == ""
        finally:
            reader.close()

    def trouble(self, **changed: Any) -> str:
        """What a reader that starts says is wrong."""
        reader = self.reader(**changed)
        reader.start()
        try:
            until(lambda: reader.trouble)
            return reader.trouble
        finally:
            reader.close()

    def restart(self, at: Start = "earliest") -> list[Partition]:
        """What ``propensity kafka restart`` does."""
        with closing(Topic(self.settings)) as topic:
            return restarted(topic, self.scene.live, at)

    @property
    def partitions(self) -> list[Partition]:
        with closing(Topic(self.settings)) as topic:
            return partitions_of(topic, self.scene.live)

    @property
    def waiting(self) -> int:
        return sum(p.ends - p.next if p.next is not None else 1 for p in self.partitions)

    @property
    def messages(self) -> list[Message]:
        """All that is in the live log, in order."""
        return self.scene.live.between(0, self.scene.live.last(), 1_000_000)


def visits(first: int, count: int) -> list[Message]:
    """Messages of seven users, one after the other."""
    return [message(i, f"u{i % 7:03d}", "visit", BEGIN + HOUR + i * 1_000) for i in range(first, first + count)]


def track(user: str, event: str = "visit", **more: object) -> dict[str, object]:
    """A message of the tracking API."""
    return {"type": "track", "userId": user, "event": event, **more}
