"""A log in many folders, and what paths name of it, for the tests of every engine."""

import shutil
from pathlib import Path

import polars as pl

#: files of one log; each has one event, of a user who is called as the file is
FILES = (
    "hive/month=2026-01/a.parquet",
    "hive/month=2026-01/b.parquet",
    "hive/month=2026-02/a.parquet",
    "hive/month=2026-02/.a.parquet.crc.parquet",
    "hive/_SUCCESS.parquet",
    "other/month=2026-03/c.parquet",
    "flat/a.parquet",
    "flat/b.pq",
    "flat/no suffix",
    "flat/notes.txt",
    "flat/deep/er/c.parquet",
    "flat/_private/d.parquet",
    "flat/.hidden/e.parquet",
    "flat/of [1] 100%20.parquet",
    "_ours/a.parquet",
    "_ours/_theirs/b.parquet",
)

HIVE = {file for file in FILES if file.startswith("hive/month=") and "/." not in file}
FLAT = {"flat/a.parquet", "flat/b.pq", "flat/deep/er/c.parquet", "flat/of [1] 100%20.parquet"}

#: what paths name
NAMED: dict[str, tuple[str | list[str], set[str]]] = {
    "a folder of partitions": ("hive", HIVE),
    "a file in all partitions": ("hive/month=*/a.parquet", {file for file in HIVE if file.endswith("a.parquet")}),
    "some partitions": ("hive/month=2026-0[2-9]", {file for file in HIVE if "2026-02" in file}),
    "folders of partitions": (["hive", "other"], HIVE | {"other/month=2026-03/c.parquet"}),
    "partitions below a pattern": ("[ho]*/month=*", HIVE | {"other/month=2026-03/c.parquet"}),
    "any depth": ("hive/**/*.parquet", HIVE),
    "a folder of folders": ("flat", FLAT),
    "a folder called like a file": ("a.parquet", {"hive/month=2026-01/a.parquet", "hive/month=2026-01/b.parquet"}),
    "files by the end of their names": ("flat/*.parquet", {"flat/a.parquet", "flat/of [1] 100%20.parquet"}),
    "one character": ("flat/?.p*", {"flat/a.parquet", "flat/b.pq"}),
    "a file with a bracket in its name": ("flat/of [1] 100%20.parquet", {"flat/of [1] 100%20.parquet"}),
    "files and folders, one of them twice": (
        ["flat/a.parquet", "flat/deep", "flat/*.parquet"],
        {"flat/a.parquet", "flat/deep/er/c.parquet", "flat/of [1] 100%20.parquet"},
    ),
    "a private folder by its name": ("_ours", {"_ours/a.parquet"}),
    "a private pattern by its name": ("_our*/*.parquet", {"_ours/a.parquet"}),
}

#: what paths are refused with
REFUSED = {
    "nothing/**/*.parquet": "no file at",
    "nothing": "no file at",
    "delta": "is a Delta table",
    "*/**/a.parquet": "different partitions",
    "flat/*": "mixes",
}


def lay(folder: Path) -> None:
    """Write the log, and a Delta table beside it."""
    for name in FILES:
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        pl.DataFrame(
            {"user_id": [name], "event": "purchase", "event_time": "2026-01-03", "revenue": 1.0}
        ).write_parquet(file)
    (folder / "delta" / "_delta_log").mkdir(parents=True)
    (folder / "delta" / "_delta_log" / "0.json").touch()
    shutil.copy(folder / "flat" / "a.parquet", folder / "delta" / "a.parquet")
    shutil.copytree(folder / "hive" / "month=2026-01", folder / "a.parquet")


def below(folder: str, path: str | list[str]) -> str | list[str]:
    """Paths as they are written from a folder, or its address."""
    if not isinstance(path, str):
        return [f"{folder}/{each}" for each in path]
    return f"{folder}/{path.replace('%', '%25') if folder.startswith('file:') else path}"
