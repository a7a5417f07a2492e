"""A screen: an address of the console, what one must be allowed to do, and what answers."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from starlette.responses import Response

from serving.console.office import Visit
from serving.desk.roles import May


@dataclass(frozen=True, slots=True)
class Screen:
    """A screen.

    Attributes:
        path: its address below ``/console``.
        method: of HTTP; ``POST`` changes something.
        may: what one must be allowed to do; None is for anybody.
        answer: makes the page.
    """

    path: str
    method: Literal["GET", "POST"]
    may: May | None
    answer: Callable[[Visit], Response]
