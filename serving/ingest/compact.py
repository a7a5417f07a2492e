"""Compaction: what the live log has gathered becomes files of the event log, each message in exactly one of them.

Files are written first and named second (`Compacted`): who is killed in between writes the same files again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from features.definition.schema import Definition
from features.errors import EventLogError
from features.events.compacted import Compacted, declared_end
from features.feature_store import OnlineProfiles
from features.reading.live_messages import IDENTIFY, TRACK, LogColumns, Message
from features.rows import INSTANT
from features.settings import Settings
from features.system.files.durable import new_folder, replacing
from features.system.progress import Progress, ignore
from features.time import DAY, to_datetime
from features.traits import read_traits
from serving.database.identity import Marks, check, check_files
from serving.database.log.live_log import LiveLog
from serving.ingest.fold.people import merges_of
from serving.ingest.fold.profiles import traits_of

#: messages of one file
FILE_ROWS = 200_000


@dataclass(frozen=True, slots=True)
class Compaction:
    """What a compaction has done.

    Attributes:
        state: what is compacted now.
        events, traits: rows written.
    """

    state: Compacted
    events: int
    traits: int


def compact(
    definition: Definition,
    settings: Settings,
    live: LiveLog,
    *,
    accept_gap: bool = False,
    progress: Progress = ignore,
) -> Compaction:
    """Write what is new in the live log as files of the event log.

    Args:
        definition: the definition.
        settings: where things are kept.
        live: the live log.
        accept_gap: go on though nothing is known of the days between the log's end and the first live message.
        progress: called for messages done.

    Raises:
        EventLogError: the log ends long before the live log begins; what happened in between would be taken for
            silence.
        LiveLogError: the live log is not the one that files and profiles were made from.
    """
    folder = settings.live(definition.name)
    new_folder(folder)
    state = Compacted.load(folder)
    source = check(live, Marks.load(definition, settings, OnlineProfiles(definition, settings)).all)
    check_files(source, state, str(folder))
    named, state = state.log, state.of_log(source.id)
    if not accept_gap and not state.through:
        _check_gap(definition, live)
    columns = LogColumns.load(definition, settings.folder(definition.name))
    last, n_events, n_traits = live.last(), 0, 0
    while messages := live.between(state.position, last, FILE_ROWS):
        name = f"{messages[0].position:012d}-{messages[-1].position:012d}.parquet"
        tracked = [message for message in messages if message.kind == TRACK]
        known = _traits(definition, state, [message for message in messages if message.kind == IDENTIFY])
        events = [_write(folder / f"events-{name}", columns.table(tracked))] if tracked else []
        traits = [_write(folder / f"traits-{name}", known.to_arrow())] if len(known) else []
        pairs = merges_of(messages)
        merges = [_write(folder / f"merges-{name}", pairs.to_arrow())] if len(pairs) else []
        change = {
            "position": messages[-1].position,
            "through": max(state.through, *(max(m.received, m.t) + 1 for m in messages)),
            "events": (*state.events, *events),
            "traits": (*state.traits, *traits),
            "merges": (*state.merges, *merges),
        }
        state = state.model_copy(update=change).save(folder)
        n_events, n_traits = n_events + len(tracked), n_traits + len(known)
        progress(len(messages))
    if named != state.log and not n_events and not n_traits and state.position:
        state = state.save(folder)
    return Compaction(state, n_events, n_traits)


def _check_gap(definition: Definition, live: LiveLog) -> None:
    ends, span = declared_end(definition, None, Compacted()), live.span()
    if ends is None or span is None or span[0] <= ends + definition.scoring.max_age:
        return
    raise EventLogError(
        f"the log ends at {to_datetime(ends):%Y-%m-%d %H:%M} and the first live message came at "
        f"{to_datetime(span[0]):%Y-%m-%d %H:%M}: {(span[0] - ends) / DAY:.0f} days that would be taken for silence.",
        fix="add the days in between to the log and change events.ends, or run propensity compact --accept-gap",
    )


def _traits(definition: Definition, state: Compacted, messages: Sequence[Message]) -> pl.DataFrame:
    """A row for each message that says something new of somebody: all attributes known by then."""
    if definition.traits is None or not messages:
        return pl.DataFrame()
    fields = definition.traits.fields
    asked = pl.Series([m.user for m in messages]).unique()
    before = read_traits(definition, state).filter(pl.col("user").is_in(asked.implode()))
    last = before.sort("known", maintain_order=True).group_by("user", maintain_order=True).last()
    known = {row["user"]: {name: row[name] for name in fields} for row in last.to_dicts()}
    rows = []
    for message in messages:
        traits = traits_of(message, fields)
        if traits:
            known[message.user] = known.get(message.user, dict.fromkeys(fields)) | traits
            rows.append({"user": message.user, "known": message.received} | known[message.user])
    schema = {"user": pl.String(), "known": pl.Int64(), **dict.fromkeys(fields, pl.String())}
    return pl.DataFrame(rows, schema=schema).with_columns(pl.col("known").cast(INSTANT))


def _write(file: Path, table: pa.Table) -> str:
    """Write a file durably; returns its name."""
    with replacing(file) as fresh:
        pq.write_table(table, fresh, compression="zstd", coerce_timestamps="us", allow_truncated_timestamps=True)
    return file.name
