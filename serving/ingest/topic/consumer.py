"""A topic of Kafka: its partitions, what they still hold, and their messages from given offsets on."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from features.errors import PropensityError, SettingsError, TopicError, UnavailableError
from features.settings import Settings

#: how long a broker may take to answer, in seconds
PATIENCE = 3.0

#: what reading rests on, and nobody may set otherwise
_OURS = {
    "group.id": "propensity",  # never joined: partitions are assigned, and offsets are kept in the live log
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "auto.offset.reset": "error",  # what is gone is reported, never skipped
    "enable.partition.eof": True,
}

#: memory for messages that were fetched and not read yet; the library's own words are in our errors instead
_USUAL = {
    "queued.min.messages": 5_000,
    "queued.max.messages.kbytes": 8_192,
    "fetch.queue.backoff.ms": 20,  # the pause when that memory is full; 1 s unless set
    "log_level": 0,
}

_REFUSED = ("_AUTHENTICATION", "_SSL", "SASL_AUTHENTICATION_FAILED")
#: so it says that the two sides do not speak the same protocol
_MISMATCH = ("SSL_HANDSHAKE", "security.protocol")
_NOT_THERE = ("UNKNOWN_TOPIC_OR_PART", "_UNKNOWN_TOPIC", "_UNKNOWN_PARTITION", "UNKNOWN_TOPIC_ID")
_GONE = ("_AUTO_OFFSET_RESET", "OFFSET_OUT_OF_RANGE")


@dataclass(frozen=True, slots=True)
class Record:
    """A message of a topic.

    Attributes:
        partition, offset: its place.
        time: when it was written, in milliseconds; -1 where the topic does not say.
        value: what it says; None of a tombstone.
    """

    partition: int
    offset: int
    time: int
    value: bytes | None

    @property
    def size(self) -> int:
        """Its size in bytes, -1 of a tombstone."""
        return len(self.value) if self.value is not None else -1


class Topic:
    """A consumer of a topic, in no group: it reads the partitions and from the offsets that its caller names.

    Args:
        settings: name the brokers and the topic.

    Raises:
        PropensityError: the client library is not installed.
        SettingsError: it does not know a property, or one cannot be set.
    """

    def __init__(self, settings: Settings) -> None:
        try:
            import confluent_kafka
        except ImportError as error:
            raise PropensityError(
                "PROPENSITY_KAFKA is set, and the client library of Kafka is not installed.",
                fix="pip install 'propensity[kafka]', or unset PROPENSITY_KAFKA and PROPENSITY_KAFKA_TOPIC",
            ) from error
        self.name, self._brokers, self._library = settings.kafka_topic, settings.kafka, confluent_kafka
        self._reported: Any = None
        given = settings.kafka_properties()
        if taken := sorted({"bootstrap.servers", *_OURS} & given.keys()):
            raise SettingsError(
                f"PROPENSITY_KAFKA_OPTIONS sets {', '.join(taken)}, on which exactly-once reading rests.",
                fix="take it out; PROPENSITY_KAFKA names the brokers",
            )
        options = {**_USUAL, **given, **_OURS, "bootstrap.servers": self._brokers, "error_cb": self._report}
        try:
            self._consumer = confluent_kafka.Consumer(options)
        except confluent_kafka.KafkaException as error:
            words = error.args[0].str().rstrip(".")
            raise SettingsError(
                f"the Kafka client refuses its settings: {words}.",
                fix="correct PROPENSITY_KAFKA or PROPENSITY_KAFKA_OPTIONS",
            ) from error

    @property
    def disturbed(self) -> bool:
        """Whether something was reported since `partitions` was answered last."""
        return self._reported is not None

    def partitions(self) -> list[int]:
        """The topic's partitions.

        Raises:
            UnavailableError: no broker answers.
            TopicError: the topic is not there, or may not be read.
        """
        self._reported = None
        try:
            found = self._consumer.list_topics(self.name, timeout=PATIENCE).topics[self.name]
        except self._library.KafkaException as error:
            raise self._described(error.args[0], outside_of_poll=True) from error
        if found.error is not None:
            raise self._described(found.error)
        return sorted(found.partitions)

    def ends(self, partition: int) -> tuple[int, int]:
        """The offsets of the first message that a partition still has, and of the next one that it will get."""
        place = self._library.TopicPartition(self.name, partition)
        try:
            found = self._consumer.get_watermark_offsets(place, timeout=PATIENCE)
        except self._library.KafkaException as error:
            raise self._described(error.args[0], outside_of_poll=True) from error
        if found is None:
            raise self._described(self._library.KafkaError(self._library.KafkaError._TIMED_OUT), outside_of_poll=True)
        return int(found[0]), int(found[1])

    def waiting(self, after: Mapping[int, int]) -> dict[int, int]:
        """How many messages partitions have after offsets, as far as their last fetch has shown."""
        known = {}
        for partition, offset in after.items():
            place = self._library.TopicPartition(self.name, partition)
            found = self._consumer.get_watermark_offsets(place, cached=True)
            if found is not None and found[1] >= 0:
                known[partition] = max(found[1] - offset, 0)
        return known

    def read_from(self, offsets: Mapping[int, int]) -> None:
        """Read these partitions, from these offsets on."""
        self._consumer.assign([self._library.TopicPartition(self.name, *place) for place in offsets.items()])

    def poll(self, most: int, seconds: float) -> tuple[list[Record], dict[int, int]]:
        """The next messages, and the offsets at which partitions end for now.

        Args:
            most: so many at most.
            seconds: wait so long for the first of them.

        Raises:
            UnavailableError: they cannot be read now.
            TopicError: they cannot be read at all.
        """
        first = self._consumer.poll(seconds)
        found = [first, *self._consumer.consume(most - 1, 0)] if first is not None else []
        return list(self._records(found)), {m.partition(): m.offset() for m in found if _ends(m)}

    def close(self) -> None:
        """Close its connections."""
        self._consumer.close()

    def _records(self, messages: Iterable[Any]) -> Iterable[Record]:
        for message in messages:
            error = message.error()
            if error is None:
                kind, time = message.timestamp()
                known = kind != self._library.TIMESTAMP_NOT_AVAILABLE
                yield Record(message.partition(), message.offset(), time if known else -1, message.value())
            elif not _ends(message) and error.name() != "GROUP_AUTHORIZATION_FAILED":  # no group is needed
                raise self._described(error)

    def _report(self, error: Any) -> None:
        """Keep what the library says of its connections; what is wrong with a password explains all that follows."""
        if self._reported is None or not _refuses(self._reported):
            self._reported = error

    def _described(self, error: Any, *, outside_of_poll: bool = False) -> UnavailableError:
        """An error of the library in words, with what it has reported meanwhile where that says more."""
        if outside_of_poll:
            self._consumer.poll(0)  # this hands over the reports
            error = self._reported or error
        words, name = error.str().rstrip("."), error.name()
        if _refuses(error):
            return TopicError(
                f"Kafka at {self._brokers} does not let us in: {words}.",
                fix="correct security.protocol, sasl.… and ssl.… in PROPENSITY_KAFKA_OPTIONS",
            )
        if name in _NOT_THERE:
            return TopicError(
                f"Kafka at {self._brokers} has no topic {self.name!r}: {words}.",
                fix="create it, or correct PROPENSITY_KAFKA_TOPIC",
            )
        if name == "TOPIC_AUTHORIZATION_FAILED":
            return TopicError(
                f"Kafka at {self._brokers} does not let us read {self.name!r}: {words}.",
                fix="allow READ and DESCRIBE on the topic to the user of PROPENSITY_KAFKA_OPTIONS",
            )
        if name in _GONE:
            return TopicError(
                f"{self.name!r} no longer has the messages that come next: {words}.",
                fix="propensity kafka status shows them, and propensity kafka restart goes on without them",
            )
        return UnavailableError(
            f"Kafka at {self._brokers} does not answer: {words}.",
            fix="start it, or correct PROPENSITY_KAFKA; it is tried again",
        )


def _refuses(error: Any) -> bool:
    return error.name() in _REFUSED or any(sign in error.str() for sign in _MISMATCH)


def _ends(message: Any) -> bool:
    return message.error() is not None and message.error().name() == "_PARTITION_EOF"
