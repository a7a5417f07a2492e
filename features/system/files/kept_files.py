"""Files that we keep: an error names one that cannot be read, with what makes it again."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import polars as pl
import pyarrow as pa

from features.errors import StoreError

#: the last key of a JSON object that we keep: one letter that a bad disk changes leaves most JSON as valid as it was
_SEAL = "sha256 of all above"
_SEALED = re.compile(rb',"sha256 of all above":"([0-9a-f]{64})"\}$')


@contextmanager
def reading(path: Path | str, *, fix: str) -> Iterator[None]:
    """Read a kept file.

    Args:
        path: the file.
        fix: what makes it again.

    Raises:
        StoreError: it is damaged, or cannot be opened.
    """
    try:
        yield
    except (ValueError, OSError, pa.ArrowException, pl.exceptions.PolarsError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise StoreError(f"{path} cannot be read: {reason[:200]}.", fix=fix) from error


@contextmanager
def reading_table(path: Path, *, fix: str) -> Iterator[pl.LazyFrame]:
    """Read a kept Parquet file as it is now, though another takes its place meanwhile; collect it inside.

    Polars opens what has a path twice, for the columns and for the rows: of a file that was replaced between, it says
    that it is damaged.

    Args:
        path: the file.
        fix: as for `reading`.

    Raises:
        StoreError: as for `reading`.
    """
    with reading(path, fix=fix), path.open("rb") as file:
        yield pl.scan_parquet(file)


def sealed(content: str) -> bytes:
    """A JSON object with one more key, the SHA-256 of the text before it."""
    head = content.rstrip().removesuffix("}").rstrip().encode()
    return head + f',"{_SEAL}":"{sha256(head).hexdigest()}"}}'.encode()


def unsealed(content: bytes) -> bytes:
    """The JSON object that was sealed; what an older version wrote has no seal, and is taken as it is.

    Raises:
        ValueError: it is not what was written.
    """
    seal = _SEALED.search(content)
    if seal is None:
        if b'"sha256 ' in content or b' above"' in content:  # a change in one leaves the other
            raise ValueError("its checksum is damaged")
        return content
    head = content[: seal.start()]
    if sha256(head).hexdigest().encode() != seal[1]:
        raise ValueError("it is not what was written: its checksum is another")
    return head + b"}"
