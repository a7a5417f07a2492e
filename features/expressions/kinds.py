"""What kind of value an expression over a feature row yields; what has no entry here has no meaning for feature rows.

Each entry is total: an expression gives the same answer for every row, null where there is none. Casts that
fail, division by 0 and logarithms of what is not above 0 are null.
"""

import difflib
import math
from collections.abc import Callable, Collection, Mapping
from enum import StrEnum
from typing import TypeAlias

from sqlglot import exp

from features.errors import shown


class Kind(StrEnum):
    """The kinds of values."""

    NUMBER = "a number"
    TEXT = "text"
    TRUTH = "true or false"
    NULL = "null"


#: what a cast may yield
NUMBERS = {exp.DType.DOUBLE, exp.DType.INT, exp.DType.BIGINT}
TEXTS = {exp.DType.VARCHAR, exp.DType.TEXT}


class MeaningError(ValueError):
    """An expression cannot be meant; says why, and what would be."""

    def __init__(self, why: str, fix: str) -> None:
        super().__init__(why)
        self.fix = fix


class Kinds:
    """Finds kinds.

    Args:
        columns: the kind of each column.
        values: the values that a column of text can have, of those where they are known.
    """

    def __init__(self, columns: Mapping[str, Kind], values: Mapping[str, Collection[str]]) -> None:
        self._columns, self._values = columns, values

    def of(self, node: exp.Expression) -> Kind:
        """The kind of value of an expression.

        Raises:
            MeaningError: it has none.
        """
        rule = _RULES.get(type(node))
        if rule is None or node.args.get("negate"):
            name = node.sql_name() if isinstance(node, exp.Func) else type(node).__name__
            raise MeaningError(f"{name} cannot be used here", _SAY)
        return rule(self, node)

    def column(self, name: str) -> Kind:
        """The kind of a column."""
        return self._columns[name]

    def one(self, node: exp.Expression, *kinds: Kind) -> Kind:
        """The kind of an expression, which must be one of these."""
        found = self.of(node)
        if found not in kinds:
            fix = "ask with IS NULL" if found is Kind.NULL else "compare numbers with numbers, text with text"
            raise MeaningError(f"{shown(node.sql('duckdb'))} is {found}, not {' or '.join(kinds)}", fix)
        return found

    def same(self, *nodes: exp.Expression, null: bool = False) -> Kind:
        """The kind that expressions share; NULL has any kind where it is allowed."""
        kinds = [self.of(node) for node in nodes]
        real = [kind for kind in kinds if kind is not Kind.NULL]
        if len(real) < len(kinds) and not null:
            raise MeaningError("NULL equals nothing", "ask with IS NULL")
        if len(set(real)) > 1:
            described = " and ".join(f"{shown(n.sql('duckdb'))} ({k})" for n, k in zip(nodes, kinds, strict=True))
            raise MeaningError(f"{described} are of different kinds", "compare numbers with numbers, text with text")
        self._known(nodes)
        return real[0] if real else Kind.NULL

    def _known(self, nodes: Collection[exp.Expression]) -> None:
        """Check the texts that a column with known values is compared with."""
        columns = [node.unnest().name for node in nodes if isinstance(node.unnest(), exp.Column)]
        for name in columns:
            values = self._values.get(name)
            for node in nodes if values is not None else ():
                text = node.unnest()
                if isinstance(text, exp.Literal) and values is not None and text.name not in values:
                    near = difflib.get_close_matches(text.name, values, n=3, cutoff=0.4) or sorted(values)
                    raise MeaningError(f"{name} is never {shown(text.name)}", f"nearest: {', '.join(near)}")


Rule: TypeAlias = Callable[[Kinds, exp.Expression], Kind]
_SAY = (
    "use columns, literals, AND/OR/NOT, comparisons, IN, BETWEEN, LIKE, IS NULL, CASE, + - * /, ||, COALESCE, NULLIF, "
    "ABS, LEAST, GREATEST, ROUND, FLOOR, CEIL, LN, LOWER, UPPER, LENGTH, TRIM, REPLACE, STARTS_WITH, and CAST or "
    "TRY_CAST to DOUBLE, INTEGER, BIGINT or VARCHAR"
)


def _literal(_: Kinds, node: exp.Expression) -> Kind:
    if node.is_string:
        return Kind.TEXT
    try:
        finite = math.isfinite(float(node.name))
    except ValueError:
        finite = False
    if not finite:
        raise MeaningError(f"{shown(node.name)} is not a number that can be represented", "write a smaller one")
    return Kind.NUMBER


def _plain(kind: Kind) -> Rule:
    return lambda _, node: kind


def _inside(kinds: Kinds, node: exp.Expression) -> Kind:
    return kinds.of(node.this)


def _each(takes: Kind, yields: Kind, *parts: str) -> Rule:
    """All parts are of one kind; what else there is beside them is refused."""

    def rule(kinds: Kinds, node: exp.Expression) -> Kind:
        for name, part in node.args.items():
            if name in parts:
                kinds.one(part, takes)
            elif name != "safe" and isinstance(part, exp.Expression | list | str) and part:
                raise MeaningError(f"{shown(node.sql('duckdb'))} has a part too many", _SAY)
        return yields

    return rule


def _connector(kinds: Kinds, node: exp.Expression) -> Kind:
    for part in node.flatten():
        kinds.one(part, Kind.TRUTH)
    return Kind.TRUTH


def _equal(kinds: Kinds, node: exp.Expression) -> Kind:
    kinds.same(node.left, node.right)
    return Kind.TRUTH


def _ordered(kinds: Kinds, node: exp.Expression) -> Kind:
    kinds.one(node.left, Kind.NUMBER, Kind.TEXT)
    return _equal(kinds, node)


def _like(kinds: Kinds, node: exp.Expression) -> Kind:
    kinds.one(node.left, Kind.TEXT)
    if not (isinstance(node.right, exp.Literal) and node.right.is_string):
        raise MeaningError("the pattern of LIKE is not a text", "write it as in LIKE 'pro%'")
    return Kind.TRUTH


def _in(kinds: Kinds, node: exp.Expression) -> Kind:
    if not node.expressions:
        raise MeaningError("IN has no list", "write it as in IN ('a', 'b')")
    kinds.one(node.this, Kind.NUMBER, Kind.TEXT)
    kinds.same(node.this, *node.expressions, null=True)
    return Kind.TRUTH


def _between(kinds: Kinds, node: exp.Expression) -> Kind:
    if node.args.get("symmetric"):
        raise MeaningError("BETWEEN SYMMETRIC cannot be used here", "write the smaller limit first")
    kinds.one(node.this, Kind.NUMBER, Kind.TEXT)
    kinds.same(node.this, node.args["low"], node.args["high"])
    return Kind.TRUTH


def _is(kinds: Kinds, node: exp.Expression) -> Kind:
    if isinstance(node.expression, exp.Boolean):
        kinds.one(node.this, Kind.TRUTH)
    elif isinstance(node.expression, exp.Null):
        kinds.one(node.this, Kind.NUMBER, Kind.TEXT, Kind.TRUTH)
    else:
        raise MeaningError("IS asks for something else than NULL, TRUE or FALSE", "write IS NULL or =")
    return Kind.TRUTH


def _case(kinds: Kinds, node: exp.Expression) -> Kind:
    for branch in node.args["ifs"]:
        if node.this is None:
            kinds.one(branch.this, Kind.TRUTH)
        else:
            kinds.same(node.this, branch.this)
    answers = [branch.args["true"] for branch in node.args["ifs"]]
    default = node.args.get("default")
    return kinds.same(*answers, *([default] if default is not None else []), null=True)


def _if(kinds: Kinds, node: exp.Expression) -> Kind:
    kinds.one(node.this, Kind.TRUTH)
    false = node.args.get("false")
    return kinds.same(node.args["true"], *([false] if false is not None else []), null=True)


def _first(kinds: Kinds, node: exp.Expression) -> Kind:
    return kinds.same(node.this, *node.expressions, null=isinstance(node, exp.Coalesce))


def _extreme(kinds: Kinds, node: exp.Expression) -> Kind:
    for part in (node.this, *node.expressions):
        kinds.one(part, Kind.NUMBER)
    return Kind.NUMBER


def _nullif(kinds: Kinds, node: exp.Expression) -> Kind:
    return kinds.same(node.this, node.expression)


def _round(kinds: Kinds, node: exp.Expression) -> Kind:
    places = node.args.get("decimals")
    if places is not None and not (places.is_int and 0 <= int(places.name) <= 15):
        raise MeaningError("ROUND takes 0 to 15 places, as a number", "write it as in ROUND(x, 2)")
    return kinds.one(node.this, Kind.NUMBER)


def _replace(kinds: Kinds, node: exp.Expression) -> Kind:
    other = node.args.get("replacement")
    if not all(isinstance(part, exp.Literal) and part.is_string for part in (node.expression, other)):
        raise MeaningError("REPLACE takes two texts", "write it as in REPLACE(x, ',', '.')")
    if not node.expression.name:
        raise MeaningError("REPLACE has nothing to look for", "write it as in REPLACE(x, ',', '.')")
    return kinds.one(node.this, Kind.TEXT)


def _cast(kinds: Kinds, node: exp.Expression) -> Kind:
    to = node.args["to"].this
    if node.args["to"].expressions or to not in NUMBERS | TEXTS:
        raise MeaningError(
            f"a cast to {node.args['to'].sql('duckdb')} cannot be used here",
            "cast to DOUBLE, INTEGER, BIGINT or VARCHAR; texts of ISO dates compare as they are",
        )
    if to in TEXTS:
        return kinds.one(node.this, Kind.TEXT)
    kinds.one(node.this, Kind.NUMBER, Kind.TEXT)
    return Kind.NUMBER


_number, _text = Kind.NUMBER, Kind.TEXT
_RULES: dict[type[exp.Expression], Rule] = {
    exp.Column: lambda kinds, node: kinds.column(node.name),
    exp.Literal: _literal,
    exp.Boolean: _plain(Kind.TRUTH),
    exp.Null: _plain(Kind.NULL),
    exp.Paren: _inside,
    exp.Neg: _each(_number, _number, "this"),
    exp.Not: _each(Kind.TRUTH, Kind.TRUTH, "this"),
    **dict.fromkeys((exp.And, exp.Or), _connector),
    **dict.fromkeys((exp.EQ, exp.NEQ, exp.NullSafeEQ, exp.NullSafeNEQ), _equal),
    **dict.fromkeys((exp.LT, exp.LTE, exp.GT, exp.GTE), _ordered),
    **dict.fromkeys((exp.Like, exp.ILike), _like),
    exp.In: _in,
    exp.Between: _between,
    exp.Is: _is,
    **dict.fromkeys((exp.Add, exp.Sub, exp.Mul, exp.Div), _each(_number, _number, "this", "expression")),
    exp.DPipe: _each(_text, _text, "this", "expression"),
    exp.StartsWith: _each(_text, Kind.TRUTH, "this", "expression"),
    **dict.fromkeys((exp.Abs, exp.Floor, exp.Ceil, exp.Ln), _each(_number, _number, "this")),
    **dict.fromkeys((exp.Lower, exp.Upper, exp.Trim), _each(_text, _text, "this")),
    exp.Length: _each(_text, _number, "this"),
    exp.Case: _case,
    exp.If: _if,
    exp.Coalesce: _first,
    **dict.fromkeys((exp.Least, exp.Greatest), _extreme),
    exp.Nullif: _nullif,
    exp.Round: _round,
    exp.Replace: _replace,
    **dict.fromkeys((exp.Cast, exp.TryCast), _cast),
}
