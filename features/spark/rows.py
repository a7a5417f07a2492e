"""The log's rows in our terms, read by Spark: as `features.engines.rows.event_rows` has them."""

import polars as pl
from pyspark.sql import DataFrame, SparkSession

from features.definition.numbers import event_numbers
from features.definition.schema import Definition
from features.engines.rows import begins
from features.reading.batch import BOTH_IDS, NO_MERGES, STILL
from features.spark.event_files import NAME
from features.spark.expressions import (
    checked_sql,
    columns_sql,
    currencies_sql,
    finite_sql,
    judged_sql,
    other_id_sql,
    priced,
    quoted,
)
from features.spark.files import open_files
from features.spark.session import plain_names


def read_rows(session: SparkSession, definition: Definition, paths: list[str], *, ours: bool = False) -> DataFrame:
    """Read rows of files, ids as 64 bits and as text; what only judges them is in `beside`.

    Args:
        session: the connection.
        definition: the definition.
        paths: the files.
        ours: they were compacted out of the live log.
    """
    n_values, name = len(event_numbers(definition)), definition.events.columns.id
    with plain_names(session):
        opened = (
            session.read.option("__globPaths__", False).parquet(*paths)
            if ours
            else open_files(session, definition, paths)
        )
        types, currencies = dict(opened.dtypes), currencies_sql(definition)
        place = [f"{int(ours)} AS ours", "input_file_name() AS file", "monotonically_increasing_id() AS place"]
        place.append(f"CAST({quoted(name) if name else 'NULL'} AS STRING) AS {NAME}")
        place += other_id_sql(definition, types)
        rows = opened.selectExpr(*columns_sql(definition, types, ours=ours), *place, *currencies)
        where = ("ours", "file", "place", NAME, *beside(definition))
        taken, judged = judged_sql(definition, n_values)
        rows = rows.selectExpr(*finite_sql(n_values), *where).selectExpr("*", taken)
        checked = checked_sql(n_values, begins(definition))
        return rows.selectExpr(*judged, *where).selectExpr(*checked, *where)


def beside(definition: Definition) -> list[str]:
    """Columns beside those of an event: another id of its user, and which amounts have no rate."""
    currencies = [f"{name}{i}" for i in range(len(priced(definition))) for name in ("priced", "no_rate")]
    return [*(["alias"] if _has_other_id(definition) else []), *currencies]


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
