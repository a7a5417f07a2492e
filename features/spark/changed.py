"""What has changed of users' values between two times that all were written."""

from pathlib import Path

from pyspark.sql import DataFrame, SparkSession


def write_changed(
    session: SparkSession, now: Path, before: Path | None, folder: Path, partitions: int, *, since: int, gone: bytes
) -> None:
    """Write what has changed; see `features.events.log.DistributedLog.write_changed`.

    Args:
        session: the connection.
        now: a written folder.
        before: that of the last time, or None.
        folder: is made.
        partitions: how many files it gets.
        since: bytes of a value before this one are not compared.
        gone: the value of who was there the last time only.
    """

    def read(of: Path) -> DataFrame:
        return session.read.option("__globPaths__", False).parquet(f"file://{of}")

    found = read(now)
    if before is not None:
        was = read(before)
        compared = [
            rows.selectExpr("user", "profile", f"substring(profile, {since + 1}) AS said") for rows in (found, was)
        ]
        found = compared[0].join(compared[1].drop("profile"), ["user", "said"], "left_anti").drop("said")
        nobody = was.join(read(now), "user", "left_anti").selectExpr("user", f"X'{gone.hex()}' AS profile")
        found = found.unionByName(nobody)
    found.coalesce(partitions).write.mode("overwrite").option("compression", "zstd").parquet(f"file://{folder}")
