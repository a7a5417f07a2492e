"""Merges as they were reported: since when one id belongs to the person of another, and by which source."""

from collections.abc import Sequence
from typing import Final

import polars as pl

from features.definition.schema import Definition
from features.engines import duckdb as engine
from features.engines.rows import column_time
from features.engines.tables import Tables
from features.errors import EventLogError
from features.events.compacted import Compacted
from features.events.tombstones import Tombstones
from features.reading.findings import NOBODY
from features.reading.places import resolve
from features.system.files.kept_files import reading_table

#: ``alias`` belongs to the person of ``user``; ``known_at`` is the first cutoff that sees it, ``undone_at`` the first
#: that does not any more, null where it stands; ``explicit`` is false where a row or message just had both ids
MERGES: Final = pl.Schema(
    {
        "alias": pl.String(),
        "user": pl.String(),
        "effective_at": pl.Int64(),
        "known_at": pl.Int64(),
        "source": pl.String(),
        "explicit": pl.Boolean(),
        "undone_at": pl.Int64(),
    }
)

#: where merges come from
LOG, TABLE, LIVE = "log", "table", "live"

#: more rows than a table has
EVERY: Final = 2**62

#: words that programs write where there is no id; PostHog's list, and ours
NOBODYS: Final[Sequence[str]] = sorted(
    {*(word.lower() for word in NOBODY), "anonymous", "guest", "distinctid", "distinct_id", "id", "not_authenticated",
     "email", "true", "false", "[object object]", ""}
)  # fmt: skip


def is_nobody(name: str) -> pl.Expr:
    """Whether a column's id is a word for nobody, or nothing but zeros and dashes."""
    text = pl.col(name).str.to_lowercase()
    return text.is_in(NOBODYS) | text.str.contains(r"^[0\-]+$")


def merge_table(definition: Definition) -> pl.DataFrame:
    """Read the table of merges that the definition names; `MERGES`, empty where it names none.

    Raises:
        EventLogError: the table cannot be read or lacks a column.
    """
    rules = definition.identities.merges if definition.identities is not None else None
    if rules is None:
        return MERGES.to_frame()
    paths = resolve(definition, rules.path)
    names = rules.columns
    with engine.connect() as connection:
        tables = Tables.open(connection, paths, None, rules.encoding)
        columns = tables.columns
        for name in (names.alias, names.user, names.known, names.undone):
            if name is not None and name not in columns:
                raise EventLogError(
                    f"identities.merges names column {name!r}, which {paths[0]} does not have.",
                    fix=f"its columns are {', '.join(columns)}",
                )

        def instant(key: str, name: str | None) -> str:
            place = f"identities.merges.columns.{key}"
            return "NULL" if name is None else column_time(name, columns[name], rules, place)

        wanted = [engine.user_sql(name, columns[name]) for name in (names.alias, names.user)]
        wanted += [instant("known", names.known), instant("undone", names.undone)]
        with engine.reading(paths):
            rows = engine.some_of(connection, tables.whole, wanted, "true", EVERY)
    columns_of = {"alias": pl.String(), "user": pl.String(), "t": pl.Int64(), "undone_at": pl.Int64()}
    frame = pl.DataFrame(rows, schema=columns_of, orient="row")
    return frame.drop_nulls(["alias", "user", "t"]).select(
        "alias", "user", effective_at=pl.col("t"), known_at=pl.col("t") + 1, source=pl.lit(TABLE),
        explicit=pl.lit(True), undone_at=pl.col("undone_at") + 1,
    ).cast(MERGES)  # fmt: skip


def reported(of_rows: pl.DataFrame, definition: Definition, live: Compacted, erased: Tombstones) -> pl.DataFrame:
    """All that is reported of ids that are one person's, `MERGES`, whether it holds or not.

    Args:
        of_rows: what rows of the log say, `MERGES`.
        definition: names the table of merges.
        live: names the files of compacted messages.
        erased: whose merges are left out.
    """
    came = list[pl.DataFrame]()
    for file in live.merge_files:
        with reading_table(file, fix="restore what the live log was compacted into from a backup") as rows:
            came.append(rows.select(MERGES.names()).collect().cast(MERGES))
    return without_users(pl.concat([of_rows, merge_table(definition), *came]), erased)


def of_both_ids(rows: pl.DataFrame) -> pl.DataFrame:
    """What rows with two ids say, `MERGES`; ``alias, user, t, visible`` of each pair."""
    return rows.select(
        "alias", "user", effective_at=pl.col("t"), known_at=pl.col("visible"), source=pl.lit(LOG),
        explicit=pl.lit(False), undone_at=pl.lit(None, pl.Int64()),
    ).cast(MERGES)  # fmt: skip


def without_users(frame: pl.DataFrame, erased: Tombstones) -> pl.DataFrame:
    """The merges in which nobody was erased; columns ``alias`` and ``user``."""
    if not erased or not len(frame):
        return frame
    gone = [erased.flags(frame[name].to_arrow()) for name in ("alias", "user")]
    return frame.filter(pl.Series(~(gone[0] | gone[1])))


def first_of_each(merges: pl.DataFrame) -> pl.DataFrame:
    """Of merges that only had both ids, the first of each pair: all later ones say the same again."""
    by_name = pl.col("explicit") | pl.col("undone_at").is_not_null()
    repeated = (
        merges.filter(~by_name).sort("known_at", "effective_at", "source").unique(["alias", "user"], keep="first")
    )
    return pl.concat([merges.filter(by_name), repeated])
