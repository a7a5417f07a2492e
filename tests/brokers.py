"""Brokers of Kafka: librdkafka's own mock cluster in a process of its own, reached over sockets like a real one."""

import json
import signal
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import pytest

#: a producer's mock cluster lives as long as the producer; the process ends with the one that started it
_CLUSTER = """
import sys
from confluent_kafka import Producer
cluster = Producer({"test.mock.num.brokers": 1, "bootstrap.servers": "mock", "log_level": 0})
[broker] = cluster.list_topics(timeout=30).brokers.values()
print(f"{broker.host}:{broker.port}", flush=True)
sys.stdin.read()
"""

#: partitions of the mock cluster's topics
PARTITIONS = 4


def partition_of(user: str) -> int:
    """The partition of a user's messages."""
    return sum(user.encode()) % PARTITIONS


class Broker:
    """A broker that tests write to, and may freeze; the test is skipped where its library is not installed.

    Attributes:
        address: ``host:port``.
    """

    def __init__(self) -> None:
        kafka = pytest.importorskip("confluent_kafka", reason="confluent-kafka is not installed (CI has it)")
        self.process = subprocess.Popen(
            [sys.executable, "-c", _CLUSTER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self.address = self.process.stdout.readline().strip()
        self._producer = kafka.Producer({"bootstrap.servers": self.address, "log_level": 0})

    def write(self, topic: str, *values: object, partition: int = 0, at: int = 0, key: str | None = None) -> None:
        """Write messages: JSON of what is neither bytes nor None.

        Args:
            topic: the topic; it is made where it is not there.
            values: the messages.
            partition: in which partition.
            at: when, in milliseconds; now where it is 0.
            key: of all of them.
        """
        for value in values:
            content = value if value is None or isinstance(value, bytes) else json.dumps(value).encode()
            while True:
                try:
                    self._producer.produce(topic, content, key, partition, timestamp=at)
                    break
                except BufferError:
                    self._producer.poll(0.1)
        assert self._producer.flush(30) == 0

    def write_tracks(self, topic: str, tracks: Sequence[dict[str, Any]]) -> None:
        """Write messages of the tracking API, each to its user's partition."""
        for track in tracks:
            self.write(topic, track, partition=partition_of(str(track["userId"])))

    def freeze(self) -> None:
        """Answer nothing from now on, as behind a broken network."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Answer again."""
        self.process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """End it, with all that it holds."""
        self.process.kill()
        self.process.communicate(timeout=20)


def free_topic(request: pytest.FixtureRequest) -> str:
    """A name of a topic that no other test has."""
    return "events-" + "".join(c if c.isalnum() else "-" for c in request.node.name)[:120]
