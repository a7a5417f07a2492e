"""Files that we keep: one that cannot be read is told by name, with what makes it anew, wherever it is read."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl
import pyarrow as pa

from features.errors import StoreError


@contextmanager
def reading(path: Path, *, fix: str) -> Iterator[None]:
    """Read a kept file.

    Args:
        path: the file.
        fix: what makes it anew.

    Raises:
        StoreError: it is damaged, or cannot be opened.
    """
    try:
        yield
    except (ValueError, OSError, pa.ArrowException, pl.exceptions.PolarsError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise StoreError(f"{path} cannot be read: {reason[:200]}.", fix=fix) from error
