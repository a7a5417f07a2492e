"""The log's rows in our terms, read by Spark: as `features.engines.rows.event_rows` has them."""

from collections.abc import Sequence
from typing import Final

import polars as pl
from pyspark.sql import DataFrame

from features.definition.numbers import event_numbers
from features.definition.schema import Definition
from features.engines.rows import Check, begins
from features.reading.batch import BOTH_IDS, NO_MERGES, STILL
from features.spark.executors import FILE, PLACE
from features.spark.intake.expressions import (
    checked_columns,
    checked_sql,
    columns_sql,
    finite_sql,
    judged_sql,
    other_id_sql,
    quoted,
)
from features.spark.intake.opening import columns_of
from features.spark.session import plain_names

#: the text of an event's id
NAME: Final = "name"


def event_rows(
    opened: DataFrame, definition: Definition, checks: Sequence[Check], *, ours: bool = False, more: Sequence[str] = ()
) -> DataFrame:
    """The rows of files: those of an event, `NAME`, `FILE`, `PLACE`, ``alias``, and what was found by checks.

    Args:
        opened: rows as they are in files, with `PLACE`, and `FILE` where they are ours.
        definition: the definition.
        checks: what is checked to be readable.
        ours: they were compacted out of the live log.
        more: further columns, SQL with a name over the columns of the files.
    """
    n_values, name = len(event_numbers(definition)), definition.events.columns.id
    types = columns_of(opened)
    given, found, names = checked_columns(checks)
    with plain_names(opened.sparkSession):
        place = [FILE if ours else f"input_file_name() AS {FILE}", PLACE]
        place.append(f"CAST({quoted(name) if name else 'NULL'} AS STRING) AS {NAME}")
        alias = other_id_sql(definition, types)
        rows = opened.selectExpr(*columns_sql(definition, types, ours=ours), *place, *alias, *given, *more)
        where = (FILE, PLACE, NAME, *(["alias"] if alias else []), *(sql.rpartition(" AS ")[2] for sql in more))
        taken, judged = judged_sql(definition, n_values)
        rows = rows.selectExpr(*finite_sql(n_values), *where, *found).selectExpr("*", taken)
        checked = checked_sql(n_values, begins(definition))
        return rows.selectExpr(*judged, *where, *names).selectExpr(*checked, *where, *names)


def both_ids(rows: DataFrame, definition: Definition) -> pl.DataFrame:
    """The pairs of ids that are in one row, each where it is seen first, `BOTH_IDS`: they come to the driver."""
    if not _has_other_id(definition):
        return NO_MERGES
    still = ", ".join(map(str, STILL))
    both = rows.where(f"dropped IN ({still}) AND alias IS NOT NULL AND alias <> user")
    both = both.selectExpr("alias", "user", "struct(visible, t) AS seen")
    first = both.groupBy("alias", "user").agg({"seen": "min"}).toDF("alias", "user", "seen")
    found = first.selectExpr("alias", "user", "seen.t AS t", "seen.visible AS visible").toArrow()
    return pl.DataFrame(found, schema=BOTH_IDS)


def _has_other_id(definition: Definition) -> bool:
    return definition.identities is not None and definition.identities.alias is not None
