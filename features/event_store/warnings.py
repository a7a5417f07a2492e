"""What people must know of a log that was taken in: shown by every command that reads it."""

import logging

from features.engines.rows import LATE
from features.event_store.stored_events import StoredEvents
from features.events.compacted import declared_end
from features.reading.clocks import strays, together
from features.reading.findings import words
from features.sources.parts import Fetched
from features.time import to_datetime

log = logging.getLogger("propensity.log")


def warnings_of(store: StoredEvents) -> list[str]:
    """What of a log was lost, or is doubtful, in sentences; nothing when all was read."""
    messages = [f"{words(name, finding)}." for name, finding in store.findings.items() if finding.rows]
    counts = store.counts
    if store.manifest.differing:
        newest = "the newest arrival" if store.log.has_arrivals else "the last in the log"
        messages.append(
            f"{store.manifest.differing:,} ids stand on rows that differ: of each id only {newest} counts, as its "
            "correction. If the id is an order's, and its rows are lines, leave out events.columns.id, and "
            f"name it at the signal, as in order: {store.log.definition.events.columns.id}: then all of them count, as "
            "one order."
        )
    if store.manifest.shared:
        messages.append(
            f"{store.manifest.shared:,} ids were sent by several users: each is one event, of the user who sent it "
            "first. If ids count from 1 for each user, leave out events.columns.id."
        )
    if early := counts.get("implausible time"):
        messages.append(
            f"{early:,} rows are left out: their time is before events.begins (1990 where it is not stated)."
        )
    if early_clocks := strays(together(part.blocks for part in store.manifest.parts), store.first, store.ends):
        messages.append(early_clocks)
    if store.log.is_view:
        messages.append(
            f"'{store.log.definition.events.table}' is a view: all of it is read each time, since its file does not "
            "tell whether its rows changed. Name files or a table, and only what is new is read."
        )
    return messages


def after_the_end(store: StoredEvents) -> str | None:
    """The events that the declared end of the log leaves out, in a sentence.

    None where there are none, and where a command named an earlier end. `propensity check` has a table of them.
    """
    declared = declared_end(store.log.definition, None, store.live)
    late = store.counts[LATE]
    if not late or declared is None or store.ends < declared:
        return None
    newest = max(part.last for part in store.manifest.parts)
    return (
        f"{late:,} events are left out: events.ends says that the log is complete through {_minute(store.ends)}, and "
        f"the newest is of {_minute(newest)}. Change it when the log is complete through a later instant, such as each "
        "day."
    )


def _minute(instant: int) -> str:
    return f"{to_datetime(instant):%Y-%m-%d %H:%M} UTC"


def warn(store: StoredEvents) -> None:
    """Tell the warnings of a log once."""
    late = after_the_end(store)
    for message in [*warnings_of(store), *([late] if late else [])]:
        log.warning("%s", message)


def warn_of_fetched(fetched: Fetched) -> None:
    """Tell what of a source was left out."""
    if fetched.ahead:
        log.warning(
            "%s rows of source %r have an arrival in the future, and are fetched when it has come: correct them there, "
            "or say in columns when they arrived.", f"{fetched.ahead:,}", fetched.source,
        )  # fmt: skip
    if fetched.undated:
        log.warning(
            "%s rows of source %r have no arrival, and were not fetched: say when they arrived, as in "
            "columns: {arrived: COALESCE(received_at, happened_at)}.", f"{fetched.undated:,}", fetched.source,
        )  # fmt: skip
