"""Traits: attributes of users, each with the time it became known; read, joined as of a cutoff, and written."""

from pathlib import Path

import polars as pl

from features.definition.schema import Definition
from features.engines import duckdb as engine
from features.engines.rows import column_time
from features.engines.tables import Tables
from features.errors import DefinitionError, EventLogError
from features.events.compacted import Compacted
from features.reading.places import resolve
from features.system.files.durable import replacing
from features.system.files.kept_files import reading
from features.time import to_datetime


def read_traits(definition: Definition, live: Compacted) -> pl.DataFrame:
    """Read the trait table, and what the live path learnt: columns ``user``, ``known`` (UTC) and the fields as text.

    Rows are sorted by user, then by time; those that agree in both stay in the table's order. Erased users are left
    out: the table is not ours to change, and keeps its rows of them.

    Raises:
        DefinitionError: the definition declares no traits.
        EventLogError: the table cannot be read or lacks a column.
    """
    rules = definition.traits
    if rules is None:
        raise DefinitionError("the definition has no 'traits'.", fix="declare them")
    paths = resolve(definition, rules.path)
    with engine.connect() as connection:
        tables = Tables.open(connection, paths, None, rules.encoding)
        columns = tables.columns
        for name in (rules.columns.user, rules.columns.known, *rules.fields):
            if name not in columns:
                raise EventLogError(
                    f"traits name column {name!r}, which {paths[0]} does not have.",
                    fix=f"its columns are {', '.join(columns)}",
                )
        known = column_time(rules.columns.known, columns[rules.columns.known], rules, "traits.columns.known")
        who = engine.user_sql(rules.columns.user, columns[rules.columns.user])
        with engine.reading(paths):
            table = engine.load_traits(connection, tables.whole, who, known, rules.fields)
    frame = pl.DataFrame(table).drop_nulls(["user", "known"])
    if live.traits:
        with reading(live.trait_files[0].parent, fix="restore what the live log was compacted into from a backup"):
            learnt = pl.read_parquet(live.trait_files).cast(frame.schema).select(frame.columns)
        frame = pl.concat([frame, learnt])
    frame = frame.sort("user", "known", maintain_order=True)  # most lie in order: a fifth of what DuckDB takes for it
    if not live.erased:
        return frame
    return frame.filter(pl.Series(~live.erased.flags(frame["user"].str.strip_chars().to_arrow())))


def with_traits(rows: pl.DataFrame, traits: pl.DataFrame | None) -> pl.DataFrame:
    """Add each user's attributes as known before the cutoff; as of events, what comes at it or later is not seen."""
    if traits is None:
        return rows
    known = traits.sort("known")
    joined = rows.with_row_index("row").sort("cutoff").join_asof(
        known, left_on="cutoff", right_on="known", by="user", strategy="backward", check_sortedness=False,
        allow_exact_matches=False,
    )  # fmt: skip
    return joined.sort("row").drop("row", "known")


def write_traits(definition: Definition, path: Path, live: Compacted) -> pl.DataFrame:
    """Write the trait table in the store's terms (``user``, ``known``, text fields) and return it.

    Feast sees what became known at the very instant asked for; ``known`` is therefore the first cutoff that may see it.
    """
    frame = read_traits(definition, live).with_columns(pl.col("known").dt.offset_by("1us"))
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path, durable=False) as fresh:  # Feast may be reading the table of before
        frame.write_parquet(fresh)
    return frame


def latest_traits(definition: Definition, cutoff: int, live: Compacted) -> pl.DataFrame | None:
    """Each user's attributes as known before a cutoff, or None when the definition has none."""
    if definition.traits is None:
        return None
    return _known_before(definition, cutoff, live).group_by("user").last().drop("known")


def stored_traits(definition: Definition, cutoff: int, live: Compacted) -> pl.DataFrame | None:
    """The same as `features.profile.stored_traits.TRAITS`: as JSON, with the first cutoff that sees them so."""
    if definition.traits is None:
        return None
    fields = definition.traits.fields
    rows = _known_before(definition, cutoff, live)
    first = pl.col("user").ne_missing(pl.col("user").shift(1))
    # a table that says the same again each night changes nothing
    before = (pl.when(~first).then(pl.col(name).shift(1)) for name in fields)
    new = pl.any_horizontal(pl.col(name).ne_missing(was) for name, was in zip(fields, before, strict=True))
    seen = pl.when(new).then(pl.col("known").dt.epoch("us") + 1).when(first).then(0).forward_fill()
    last = rows.with_columns(visible_from=seen).filter(pl.col("user").ne_missing(pl.col("user").shift(-1)))
    return last.select("user", pl.struct(fields).struct.json_encode().alias("traits"), "visible_from")


def _known_before(definition: Definition, cutoff: int, live: Compacted) -> pl.DataFrame:
    """The rows of the trait table that became known before a cutoff, of each user in the order in which they did."""
    return read_traits(definition, live).filter(pl.col("known") < to_datetime(cutoff))
