"""Every byte that is kept of a definition, in the clear: what an erasure must leave nothing of anybody in."""

from collections.abc import Iterator
from pathlib import Path

import polars as pl


def texts(folder: Path) -> Iterator[tuple[Path, bytes]]:
    """Every file of a folder with its bytes, and Parquet files' values beside them."""
    for file in sorted(folder.rglob("*")):
        if file.is_file() and not file.is_symlink():
            yield file, str(file).encode() + file.read_bytes()
            if file.suffix == ".parquet":
                frame = pl.read_parquet(file, hive_partitioning=False)
                for column in frame.get_columns():
                    if not column.dtype.is_numeric():
                        yield file, repr(column.to_list()).encode()


def holding(folder: Path, *users: str) -> list[str]:
    """The files that name one of some users."""
    asked = [user.encode() for user in users]
    return sorted({str(file.relative_to(folder)) for file, some in texts(folder) if any(one in some for one in asked)})
