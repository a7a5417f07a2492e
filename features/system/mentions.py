"""Whether text names users, by their ids as whole words."""

import json
import re
from collections.abc import Iterable
from functools import cached_property

#: ids of fewer characters are words and numbers like others: they are looked for only where something says who it is of
DISTINCTIVE = 6


class Mentions:
    """Looks for ids in text, also as JSON writes them.

    Args:
        users: the ids; those that do not tell themselves from other text are passed over.
    """

    def __init__(self, users: Iterable[str]) -> None:
        chosen = [user for user in users if len(user) >= DISTINCTIVE]
        self._texts = sorted({form for user in chosen for form in (user, json.dumps(user)[1:-1])})
        #: the ids as bytes
        self.texts = [text.encode() for text in self._texts]
        #: a regular expression of Python's and Rust's: none of it looks around
        self.pattern = rf"(?:^|[^0-9A-Za-z_])(?:{'|'.join(map(re.escape, self._texts))})(?:$|[^0-9A-Za-z_])"

    def __bool__(self) -> bool:
        return bool(self._texts)

    def in_text(self, text: str) -> bool:
        """Whether a text names one of them."""
        return bool(self) and self._word.search(text) is not None

    def in_bytes(self, some: bytes) -> bool:
        """Whether bytes name one of them."""
        return bool(self) and self._word_of_bytes.search(some) is not None

    @cached_property
    def _word(self) -> "re.Pattern[str]":
        return re.compile(self.pattern)

    @cached_property
    def _word_of_bytes(self) -> "re.Pattern[bytes]":
        return re.compile(self.pattern.encode())
