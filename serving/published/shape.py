"""What every part of a published file is."""

from pydantic import BaseModel, ConfigDict


class Shape(BaseModel):
    """A part of what is published."""

    model_config = ConfigDict(frozen=True)
