"""Whether the times and currencies of a log on Spark can be read."""

import logging

from pyspark.sql import DataFrame

from features.definition.schema import Definition
from features.engines.rows import CURRENCY, SHOWN, Check
from features.reading.findings import Finding, judge, words
from features.spark.expressions import priced

log = logging.getLogger("propensity.log")


def judge_rows(rows: DataFrame, definition: Definition) -> None:
    """Refuse a log of whose times or currencies too many cannot be read, as the local engine does; warn of a few.

    Raises:
        EventLogError: the log is refused.
    """
    advice = "say how they are written, as in events.time_format: '%d.%m.%Y %H:%M', or events.time_unit: s"
    asked = [(f"time in column {definition.events.columns.time!r}", "unread", "t IS NOT NULL", advice)]
    for i, number in enumerate(priced(definition)):
        read = f"priced{i} AND no_rate{i} IS NULL"
        asked.append((f"{CURRENCY} {number.currency!r}", f"no_rate{i}", read, ""))
    for name, unread, read, advised in asked:
        texts = f"count({unread})", f"count_if({read})", f"min({unread})", f"max({unread})"
        [[unreadable, readable, one, other]] = rows.selectExpr(*texts).collect()
        examples = tuple(dict.fromkeys(repr(text[:SHOWN]) for text in (one, other) if text is not None))
        found = Finding(rows=int(unreadable), of=int(unreadable) + int(readable), examples=examples)
        judge({name: found}, definition.events.at_most, [Check(name, "", "")], "", advised)
        if found.rows:
            log.warning("%s.", words(name, found))
