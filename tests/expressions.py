"""Random expressions over three numbers and two texts, by a seed: ten thousand of them take seconds."""

import random
from collections.abc import Callable

TEXTS = ("", "x", "X%", "y_z", "zoë", "12", "-3", "1e2", "3.25", ".5", "5.", "12x", "a\nb", "x.y", "(", "-", "%", "_x")
NUMBERS = (0.0, 1.0, -1.0, 2.0, 2.5, -3.0, 0.1, 1e6, -0.0, 12.0, 100.0)
#: what divisions and sums may make of features
WILD = (*NUMBERS, 2.0**53, 2.0**53 + 2, -(2.0**63), 1e308, -1e308, 9e18, 5e-324, float("inf"), float("nan"))


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


class Maker:
    """Makes expressions and rows.

    Args:
        seed: the same seed makes the same.
        depth: how deep they are nested, at most.
    """

    def __init__(self, seed: int, depth: int = 4) -> None:
        self._random, self._depth = random.Random(seed), depth  # noqa: S311 - no secret

    def row(self, wild: bool) -> dict[str, float | str | None]:
        """Three numbers and two texts, some of them missing."""
        among = WILD if wild else NUMBERS
        numbers = {name: self._random.choice((None, *among)) for name in "abc"}
        return numbers | {name: self._random.choice((None, *TEXTS)) for name in "st"}

    def any(self) -> str:
        """An expression of any kind."""
        return self._random.choice((self.truth, self.truth, self.number, self.text))()

    def _make(self, plain: Callable[[], str], forms: list[tuple[str, ...]]) -> str:
        if self._depth <= 0 or self._random.random() < 0.15:
            return plain()
        self._depth -= 1
        template, *kinds = self._random.choice(forms)
        made = template.format(*(getattr(self, kind)() for kind in kinds))
        self._depth += 1
        return made

    def literal(self) -> str:
        """A text."""
        return quoted(self._random.choice(TEXTS))

    def some(self) -> str:
        """A text that is not empty."""
        return quoted(self._random.choice(TEXTS[1:]))

    def text(self) -> str:
        """An expression that yields text."""
        return self._make(
            lambda: self._random.choice("st"),
            [
                ("LOWER({})", "text"), ("UPPER({})", "text"), ("TRIM({})", "text"), ("({} || {})", "text", "text"),
                ("REPLACE({}, {}, {})", "text", "some", "literal"), ("COALESCE({}, {})", "text", "literal"),
                ("NULLIF({}, {})", "text", "text"), ("CAST({} AS VARCHAR)", "text"),
                ("CASE WHEN {} THEN {} ELSE {} END", "truth", "text", "text"),
            ],
        )  # fmt: skip

    def number(self) -> str:
        """An expression that yields a number."""
        two = [(f"({{}} {sign} {{}})", "number", "number") for sign in "+-*/"]
        two += [(f"{name}({{}}, {{}})", "number", "number") for name in ("COALESCE", "NULLIF", "LEAST", "GREATEST")]
        one = [(f"{name}({{}})", "number") for name in ("ABS", "FLOOR", "CEIL", "LN", "ROUND", "-")]
        return self._make(
            lambda: self._random.choice(["a", "b", "c", "a", "b", "c", "1", "0", "2.5", "-3"]),
            [
                *two, *one, ("CASE WHEN {} THEN {} ELSE {} END", "truth", "number", "number"),
                ("(CASE {} WHEN {} THEN {} END)", "number", "number", "number"), ("LENGTH({})", "text"),
                ("IF({}, {}, {})", "truth", "number", "number"), ("ROUND({}, 2)", "number"),
                ("TRY_CAST({} AS DOUBLE)", "text"), ("CAST({} AS DOUBLE)", "text"), ("CAST({} AS DOUBLE)", "number"),
                ("CAST(a * {} AS INTEGER)", "number"),
            ],
        )  # fmt: skip

    def truth(self) -> str:
        """An expression that is true or false."""
        compare = [(f"{{}} {sign} {{}}", "number", "number") for sign in ("=", "<>", "<", "<=", ">", ">=")]
        compare += [(f"{{}} {sign} {{}}", "text", "text") for sign in ("=", "<>", "<", ">=")]
        compare += [(f"{{}} {sign} {{}}", "text", "literal") for sign in ("LIKE", "NOT LIKE", "ILIKE", "=")]
        compare += [(f"({{}}) {sign}", "truth") for sign in ("IS NULL", "IS NOT NULL", "IS TRUE", "IS NOT TRUE")]
        return self._make(
            lambda: self._random.choice(["a > 1", "b = 0", "s = 'x'", "t IS NULL", "c IS NOT NULL", "a < b"]),
            [
                *compare, ("{} IS DISTINCT FROM {}", "number", "number"), ("STARTS_WITH({}, {})", "text", "text"),
                ("{} IS NOT DISTINCT FROM {}", "text", "text"), ("{} IN ({}, {})", "text", "literal", "literal"),
                ("{} IN ({}, 2.5, NULL)", "number", "number"), ("{} NOT IN (1, 2.5)", "number"),
                ("{} BETWEEN {} AND {}", "number", "number", "number"), ("(NOT ({}))", "truth"),
                *[(f"({{}} {sign} {{}})", "truth", "truth") for sign in ("AND", "OR", "AND", "OR")],
            ],
        )  # fmt: skip
