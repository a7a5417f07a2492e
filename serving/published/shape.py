"""What every part of a published file is, and how such a file is read."""

from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from features.errors import StoreError

Content = TypeVar("Content")


class Shape(BaseModel):
    """A part of what is published."""

    model_config = ConfigDict(frozen=True)


def read(file: Path, content: TypeAdapter[Content], *, writer: str) -> Content | None:
    """Read what was published; None where nothing was.

    Args:
        file: where it is.
        content: its shape.
        writer: the command that writes it.

    Raises:
        StoreError: the file is damaged.
    """
    try:
        return content.validate_json(file.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        raise StoreError(f"{file} cannot be read.", fix=f"{writer} writes it again") from error
