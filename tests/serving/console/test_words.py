"""The words of the console: each language says everything, with the same values put in, and pages ask for no other."""

import json
import re
import string
from pathlib import Path
from typing import get_args

import pytest

import serving.console
from monitoring.findings import Name
from serving.audience.sentences.words import ENGLISH
from serving.console.catalogue import LANGUAGES, catalogue, wanted

CONSOLE = Path(serving.console.__file__).parent


def texts(language: str) -> dict[str, str]:
    found: dict[str, str] = json.loads((CONSOLE / "words" / f"{language}.json").read_text())
    return found


def fields(template: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(template) if name}


@pytest.mark.parametrize("language", [name for name in LANGUAGES if name != "en"])
def test_each_language_says_everything_with_the_same_values(language: str) -> None:
    english, other = texts("en"), texts(language)
    sentences = {f"say.{key}": text for key, text in ENGLISH.items()}
    assert set(other) - {key for key in other if key.endswith(".one")} == {
        key for key in {**english, **sentences} if not key.endswith(".one")
    }
    for key, text in {**english, **sentences}.items():
        if key in other:
            assert fields(other[key]) == fields(text), key


def test_pages_and_screens_ask_for_words_that_there_are() -> None:
    known = texts("en")
    files = [*CONSOLE.rglob("*.html"), *CONSOLE.rglob("*.py")]
    asked = {
        key for file in files for key in re.findall(r'\b(?:t|words|visit\.words)\("([a-z_.]+[a-z_])"', file.read_text())
    }
    assert len(asked) > 150
    assert asked <= set(known), asked - set(known)


def test_each_finding_of_the_monitor_has_words() -> None:
    assert {f"finding.{name}{part}" for name in get_args(Name) for part in ("", ".fix")} <= set(texts("en"))


@pytest.mark.parametrize(
    ("accepted", "language"),
    [("ko", "ko"), ("ko-KR,ko;q=0.9,en-US;q=0.8", "ko"), ("en-GB,ko;q=0.9", "en"), ("de,fr;q=0.9", "en"), ("", "en"),
     ("ko;q=0.1,en;q=0.9", "en"), (";;q=,", "en"), ("ko;q=abc", "en")],
)  # fmt: skip
def test_the_language_is_that_which_the_browser_wants_most(accepted: str, language: str) -> None:
    assert wanted(accepted) == language


def test_what_is_counted_is_grouped_and_one_is_one() -> None:
    words = catalogue("en")
    assert words("as_of", count=1_234_567, moment="now") == "1,234,567 users, as of now"
    assert words("as_of", count=1, moment="now") == "1 user, as of now"
