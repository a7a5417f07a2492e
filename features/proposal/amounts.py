"""Amounts that are written for people: with separators of thousands, a decimal comma, or the sign of a currency."""

from collections.abc import Sequence
from dataclasses import dataclass

from features.engines.duckdb import text

#: signs of currencies
SIGNS = "€$£¥"

#: how many expressions `asked` makes
ASKED = 5


@dataclass(frozen=True, slots=True)
class Writing:
    """How the numbers of a column of text are written.

    Attributes:
        decimal: what comes before the fraction, ``.`` or ``,``; the other one separates thousands.
        sign: the sign of the currency that stands at the numbers; empty where there is none.
    """

    decimal: str
    sign: str = ""

    def sql(self, column: str) -> str:
        """SQL of the number, null where it cannot be read."""
        bare = f"REPLACE({column}, {text(',' if self.decimal == '.' else '.')}, '')"
        if self.decimal == ",":
            bare = f"REPLACE({bare}, ',', '.')"
        if self.sign:
            bare = f"REPLACE({bare}, {text(self.sign)}, '')"
        return f"TRY_CAST({bare} AS DOUBLE)"


def asked(value: str) -> list[str]:
    """SQL of what `written` needs to know of a column: for each decimal sign how many values fit and prove it; signs.

    Args:
        value: SQL of the text, null where it is missing.
    """
    bare = f"regexp_replace({value}, '[{SIGNS}\\s]', '', 'g')"
    counts = [
        f"count(*) FILTER (regexp_full_match({bare}, {text(pattern)}))"
        for decimal, thousands in ((r"\.", ","), (",", r"\."))
        for pattern in (
            rf"[+-]?(\d{{1,3}}({thousands}\d{{3}})+|\d+)({decimal}\d+)?",
            rf"[+-]?(\d{{1,3}}({thousands}\d{{3}})+{decimal}\d+|\d{{1,3}}({thousands}\d{{3}}){{2,}}|\d+{decimal}\d{{1,2}})",
        )
    ]
    return [*counts, f"list(DISTINCT regexp_extract({value}, '[{SIGNS}]'))"]


def written(answers: Sequence[object], there: int, plain: int) -> tuple[Writing, float] | None:
    """How a column's numbers are written, and the share of values that are such numbers.

    None where as many are numbers as they are, where both a point and a comma would do, and where amounts are of
    several currencies, which do not add up.

    Args:
        answers: to `asked`.
        there: rows with a value.
        plain: values that are numbers without further ado.
    """
    point, sure_point, comma, sure_comma, signs = answers
    found = [str(sign) for sign in signs if sign] if isinstance(signs, list) else []
    if len(found) > 1 or (bool(sure_point) == bool(sure_comma)):
        return None
    fit = int(str(point if sure_point else comma))
    return (Writing("." if sure_point else ",", "".join(found)), fit / max(there, 1)) if fit > plain else None
