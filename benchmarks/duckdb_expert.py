"""The compared columns as an expert of DuckDB would make them: the idea of `polars_expert`, in SQL alone."""

import duckdb
import numpy as np
import polars as pl

from benchmarks.features import days_of
from benchmarks.polars_expert import DAYS, LANE, gone_at, places
from benchmarks.world import Log
from features.time import DAY, Instants, span_name

#: bits of an instant, in microseconds since the log's first day: 407 days
TIME = 45


def by_duckdb_expert(log: Log, cutoffs: Instants) -> pl.DataFrame:
    """DuckDB alone: integer keys, a grouped pass a window, and running sums that need no partition.

    Each user has a cell after the last cutoff, in which what is left goes out: so sums start at 0 with each user.
    """
    names, place, n = list(log.definition.signals), places(log), len(cutoffs)
    windows = days_of(log.definition)
    with duckdb.connect() as connection:
        first_day = _duckdb_days(log, cutoffs, connection)
        every = np.arange(first_day, first_day + DAYS)
        reach = {"day": every, **{f"e{j}": gone_at(cutoffs, w, every) for j, w in enumerate(windows)}}
        connection.register("reach", pl.DataFrame(reach).to_arrow())
        lasts = ", ".join(f"max(t_{s}) AS t_{s}" for s in names)
        connection.execute(
            f"CREATE TEMP TABLE came AS SELECT u * {n + 1} + first AS g, "
            f"sum(n)::BIGINT AS n, sum(a)::BIGINT AS a, {lasts} FROM days GROUP BY g"
        )
        for j in range(len(windows)):
            connection.execute(
                f"CREATE TEMP TABLE went{j} AS SELECT u * {n + 1} + greatest(first, e{j}) AS g, "
                f"sum(n)::BIGINT AS n{j}, sum(a)::BIGINT AS a{j} FROM days JOIN reach USING (day) GROUP BY g"
            )
        connection.execute(
            f"CREATE TEMP TABLE left_over AS SELECT g // {n + 1} * {n + 1} + {n} AS g, sum(n)::BIGINT AS z "
            "FROM came GROUP BY 1"
        )
        connection.execute("SET preserve_insertion_order = true")
        # a user's number above the bits of a time makes running maxima start again with each user, too
        begin = first_day * DAY
        times = ", ".join(f"(g // {n + 1} << {TIME}) + t_{s} - {begin} AS t_{s}" for s in names)
        joins = " ".join(f"LEFT JOIN went{j} USING (g)" for j in range(len(windows)))
        connection.execute(
            f"""CREATE TEMP TABLE cells AS SELECT g, n, a, z, {times},
                    {", ".join(f"n{j}, a{j}" for j in range(len(windows)))}
                FROM (SELECT unnest(range(begin, begin // {n + 1} * {n + 1} + {n + 1})) AS g
                      FROM (SELECT min(g) AS begin FROM came GROUP BY g // {n + 1}))
                LEFT JOIN came USING (g) LEFT JOIN left_over USING (g) {joins} ORDER BY g"""
        )
        return pl.DataFrame(connection.sql(_running(names, windows, place, n, begin)).to_arrow_table())


def _running(names: list[str], windows: list[int], place: dict[str, int], n: int, begin: int) -> str:
    """The query of the answer out of the cells."""
    top = max(place.values())

    def left(came: str, went: str) -> str:  # both grow over all users, their difference does not
        each = (f"coalesce(sum({name}) OVER (ROWS UNBOUNDED PRECEDING), 0)" for name in (came, went))
        return f"({' - '.join(each)})::BIGINT"

    sums = [f"{left(x, f'{x}{j}')} AS {x}{j}" for j in range(len(windows)) for x in ("n", "a")]
    sums += [f"{left('n', 'z')} AS total"]
    sums += [f"max(t_{s}) OVER (ROWS UNBOUNDED PRECEDING) AS t_{s}" for s in names]
    columns = []
    for s in names:
        field = lambda name, s=s: f"({name} >> {place[s]}{'' if place[s] == top else f' & {LANE}'})::INTEGER"  # noqa: E731
        for j, w in enumerate(windows):
            columns += [
                f"{field(f'n{j}')} AS {s}_count_{span_name(w)}",
                f"{field(f'a{j}')} AS {s}_active_days_{span_name(w)}",
            ]
        mine = f"CASE WHEN t_{s} >> {TIME} = g // {n + 1} THEN (t_{s} & {(1 << TIME) - 1}) + {begin} END"
        columns += [f"{field('total')} AS {s}_count_total", f"(c - {mine}) / {DAY} AS days_since_{s}"]
    return (
        f"SELECT user, c AS cutoff, {', '.join(columns)} FROM (SELECT g, {', '.join(sums)} FROM cells) "
        f"JOIN users ON u = g // {n + 1} JOIN cuts ON k = g % {n + 1}"
    )


def _duckdb_days(log: Log, cutoffs: Instants, connection: duckdb.DuckDBPyConnection) -> int:
    """Tables ``users``, ``cuts`` and ``days``: a row a user, day and first cutoff that sees it; the first day."""
    names, place, n = list(log.definition.signals), places(log), len(cutoffs)
    connection.execute("SET TimeZone = 'UTC'; SET preserve_insertion_order = false")
    connection.register("cuts", pl.DataFrame({"k": range(n), "c": cutoffs}).to_arrow())
    files = f"read_parquet('{log.folder}/data/demo/events/*.parquet')"
    mask = " + ".join(
        f"({r.where})::UTINYINT * {1 << i}::UTINYINT" for i, r in enumerate(log.definition.signals.values())
    )
    packed = "0" + "".join(f" + (({{m}} >> {i}) & 1)::BIGINT * {1 << place[s]}" for i, s in enumerate(names))
    lasts = ", ".join(f"max(t) FILTER (m & {1 << i} <> 0) AS t_{s}" for i, s in enumerate(names))
    real = "user_id NOT LIKE 'test-%'"
    connection.execute(
        "CREATE TEMP TABLE users AS SELECT user, row_number() OVER () - 1 AS u "
        f"FROM (SELECT DISTINCT user_id AS user FROM {files} WHERE {real})"
    )
    connection.execute(
        f"""CREATE TEMP TABLE log AS SELECT u, hash(event_id) AS id, epoch_us(event_time) AS t,
                greatest(epoch_us(event_time) + 1, epoch_us(arrived_at)) AS seen, ({mask})::UTINYINT AS m
            FROM {files} JOIN users ON user = user_id WHERE {real} AND ({mask}) <> 0"""
    )
    connection.execute("CREATE TEMP TABLE twice AS SELECT id FROM log GROUP BY id HAVING count(*) > 1")
    connection.execute(
        f"""CREATE TEMP TABLE parted AS SELECT u, t // {DAY} AS day, {_place_of(cutoffs, "seen")} AS first,
                sum({packed.format(m="m")})::BIGINT AS n, bit_or(m) AS m, {lasts}
            FROM (SELECT u, t, seen, m FROM log ANTI JOIN twice USING (id)
                  UNION ALL SELECT arg_min(u, t), min(t), arg_min(seen, t), arg_min(m, t)
                            FROM log SEMI JOIN twice USING (id) GROUP BY id)
            GROUP BY u, day, first HAVING first < {n}"""
    )
    connection.execute("DROP TABLE log")
    before = "PARTITION BY u, day ORDER BY first ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING"
    connection.execute(
        f"""CREATE TEMP TABLE days AS
            WITH several AS (SELECT u, day FROM parted GROUP BY u, day HAVING count(*) > 1),
            fresh AS (SELECT u, day, first, m & ~coalesce(bit_or(m) OVER ({before}), 0::UTINYINT) AS fresh
                      FROM parted SEMI JOIN several USING (u, day))
            SELECT u, day, first, n, {packed.format(m="coalesce(fresh, m)")} AS a, {", ".join(f"t_{s}" for s in names)}
            FROM parted LEFT JOIN fresh USING (u, day, first)"""
    )
    return int(connection.sql("SELECT min(day) FROM days").fetchall()[0][0])


def _place_of(values: Instants, column: str, low: int = 0) -> str:
    """SQL: how many of some ascending instants are before a column, as a tree of comparisons."""
    if not len(values):
        return str(low)
    at = len(values) // 2
    above, below = _place_of(values[at + 1 :], column, low + at + 1), _place_of(values[:at], column, low)
    return f"CASE WHEN {column} > {values[at]} THEN {above} ELSE {below} END"
