"""Rows with an id that another user has sent, too."""

from pyspark.sql import DataFrame

from features.events.tombstones import Tombstones


def of_one_user(rows: DataFrame, content: list[str], erased: Tombstones, *, by_arrival: bool) -> DataFrame:
    """Of ids that several users have sent keep the row that counts, as `features.events.repeats` says.

    Ids of one user are judged where that user's rows are worked on. Only rows of ids of several users are shuffled.

    Args:
        rows: the log's rows.
        content: columns in which repeats agree.
        erased: whose rows count nowhere.
        by_arrival: rows say when they arrived.
    """
    users = rows.where("id <> 0").selectExpr("id", "user AS lowest", "user AS highest").groupBy("id")
    # named by position: Feast lets a session read names in backticks as regular expressions
    spread = users.agg({"lowest": "min", "highest": "max"}).toDF("id", "one", "other").where("one <> other")
    shared = spread.select("id").cache()
    if shared.isEmpty():
        return rows
    contested = rows.join(shared, "id", "left_semi")
    if erased.digests:
        gone = ", ".join(f"'{digest}'" for digest in erased.digests)
        contested = contested.where(f"substring(sha2(user, 256), 1, 32) NOT IN ({gone})")
    order = [*(["visible"] if by_arrival else []), "ours", "file", "place"]
    owner = f"first_value(user) OVER (PARTITION BY id ORDER BY {', '.join(order)})"
    owned = contested.selectExpr("*", f"{owner} AS owner").where("user = owner").drop("owner")
    alike = " AND ".join(f"min({c}) OVER (PARTITION BY id) = max({c}) OVER (PARTITION BY id)" for c in content)
    first, last = (f"row_number() OVER (PARTITION BY id ORDER BY {', '.join(k + way for k in order)})"
                   for way in ("", " DESC"))  # fmt: skip
    judged = owned.selectExpr("*", f"IF({alike}, {first}, {last}) AS turn").where("turn = 1").drop("turn")
    return rows.join(shared, "id", "left_anti").unionByName(judged)
