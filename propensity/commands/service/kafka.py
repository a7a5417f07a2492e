"""Commands of the Kafka topic that workers read: how far it is read, and reading it on where that is refused."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from features.errors import SettingsError
from propensity.commands.stores import live_log
from propensity.console import out, table
from propensity.options import DefinitionFile, new_group, opened

if TYPE_CHECKING:
    from pathlib import Path

    from serving.database.log.live_log import LiveLog
    from serving.ingest.topic.consumer import Topic

kafka = new_group("The Kafka topic that workers read events from.")


class At(StrEnum):
    """Where reading goes on."""

    EARLIEST = "earliest"
    LATEST = "latest"


@kafka.command()
def status(definition: DefinitionFile = None) -> None:
    """Show how far each partition is read, and what the topic still holds."""
    import polars as pl

    from serving.ingest.topic.place import partitions_of

    with _opened(definition) as (topic, live):
        found = partitions_of(topic, live)
    rows = [(p.number, p.next, p.begins, p.ends, p.ends - (p.next or p.begins), p.lost) for p in found]
    columns = ["partition", "next", "first there", "end", "waiting", "lost"]
    schema = dict.fromkeys(columns, pl.Int64)
    out.print(table(f"Topic {topic.name}", pl.DataFrame(rows, schema=schema, orient="row")))


@kafka.command()
def restart(
    definition: DefinitionFile = None,
    at: Annotated[
        At, typer.Option(help="read on from the earliest messages that the topic has, or from its latest")
    ] = At.EARLIEST,
) -> None:
    """Continue reading although messages of the topic are lost, or it is another topic; services need no restart.

    Messages that were read before are recognised by their ids.
    """
    from serving.ingest.topic.place import restarted

    with _opened(definition) as (topic, live):
        before = restarted(topic, live, at.value)
    for one in before:
        to = one.begins if at is At.EARLIEST else one.ends
        was = "was never read" if one.next is None else f"was read up to offset {one.next:,}"
        skipped = max(to - (one.next if one.next is not None else one.begins), 0)
        out.print(f"Partition {one.number} {was}, and is read from {to:,} on; {skipped:,} messages are never read.")


@contextmanager
def _opened(definition: "Path | None") -> "Iterator[tuple[Topic, LiveLog]]":
    from serving.ingest.topic.consumer import Topic

    rules, settings = opened(definition)
    if not settings.kafka:
        raise SettingsError("no topic is read here.", fix="set PROPENSITY_KAFKA and PROPENSITY_KAFKA_TOPIC")
    with closing(Topic(settings)) as topic, closing(live_log(rules, settings)) as live:
        yield topic, live
