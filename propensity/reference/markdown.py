"""Markdown: tables, and docstrings as they read on a page."""

import re
from collections.abc import Iterable, Sequence


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Write a table; pipes and line breaks in cells are escaped."""
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    lines += [f"| {' | '.join(cell(text) for text in row)} |" for row in rows]
    return "\n".join(lines)


def cell(text: str) -> str:
    """Make a text fit into a cell."""
    return " ".join(text.split()).replace("|", "\\|")


def plain(docstring: str) -> str:
    """A docstring as Markdown: its paragraphs, with code in single backticks and without its sections."""
    text = re.split(r"\n\s*(?:Args|Attributes|Raises|Returns):\n", docstring)[0]
    return code("\n\n".join(" ".join(part.split()) for part in text.split("\n\n"))).strip()


def code(text: str) -> str:
    """Double backticks, as in docstrings, as Markdown's single ones."""
    return text.replace("``", "`")


def sentence(text: str) -> str:
    """Begin with a capital letter, and end with a stop."""
    text = text.strip()
    text = text if text.startswith("`") else text[:1].upper() + text[1:]
    return text if text.endswith((".", "!", "?")) or not text else f"{text}."
