"""The words of the console, in each language it speaks."""

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Final

from serving.audience.sentences.words import ENGLISH

LANGUAGES: Final = ("en", "ko")


class Catalogue:
    """The words of a language.

    Args:
        language: its code.
        texts: templates by key; ``KEY.one`` stands beside ``KEY`` where one of it reads otherwise.
    """

    def __init__(self, language: str, texts: Mapping[str, str]) -> None:
        self.language, self.texts = language, texts
        #: templates of conditions, see `serving.audience.sentences.words`
        self.sentences = {key[4:]: text for key, text in texts.items() if key.startswith("say.")} or dict(ENGLISH)

    def __call__(self, key: str, **values: object) -> str:
        """The text of a key, with its values put in; whole numbers are grouped by thousands."""
        count = values.get("count")
        text = self.texts.get(f"{key}.one") if count == 1 else None
        return (text or self.texts[key]).format(**{name: shown(value) for name, value in values.items()})

    def of(self, key: str, otherwise: str) -> str:
        """The text of a key; something else where there is none, as of names that a definition gives."""
        return self.texts.get(key, otherwise)


def shown(value: object) -> str:
    """A value as pages show it."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:,.10g}"


@cache
def catalogue(language: str) -> Catalogue:
    """The catalogue of a language."""
    text = files("serving.console").joinpath("words", f"{language}.json").read_text(encoding="utf-8")
    return Catalogue(language, json.loads(text))


def wanted(accepted: str) -> str:
    """The language of ours that a browser wants most.

    Args:
        accepted: its header ``Accept-Language``.
    """
    ranked = []
    for place, part in enumerate(accepted[:500].split(",")):
        name, _, weight = part.strip().partition(";q=")
        try:
            ranked.append((-float(weight or 1), place, name.strip().lower().partition("-")[0]))
        except ValueError:
            continue
    return next((name for _, _, name in sorted(ranked) if name in LANGUAGES), LANGUAGES[0])
