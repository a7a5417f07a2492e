"""Expressions of the definition as one program over columns, in which each distinct part is computed once."""

from collections.abc import Callable, Iterable, Mapping
from functools import cache, partial

import numpy as np
import polars as pl
from sqlglot import exp

from features.expressions import operators as op
from features.expressions.expression import Expression
from features.expressions.single import Single, for_one, single
from features.expressions.values import Flags, Numbers, Texts, Truths, Value, column_of

#: an operator, and the parts it is applied to
Form = tuple[op.Operator, list[exp.Expression]]


class Program:
    """Evaluates expressions over columns, for one row or a million.

    Args:
        expressions: SQL by name, checked when the definition was loaded.
    """

    def __init__(self, expressions: Mapping[str, str]) -> None:
        self._registers: list[Value] = []
        self._places: dict[str, int] = {}
        self._inputs: dict[str, int] = {}
        self._steps: list[tuple[int, op.Operator, tuple[int, ...]]] = []
        self._answers = {name: self._place(Expression.of(sql).tree) for name, sql in expressions.items()}
        #: the columns that the expressions name
        self.columns = frozenset(self._inputs)
        # the same for a single row
        self._values = [single(value) for value in self._registers]
        self._single_steps = [(place, for_one(operator), parts) for place, operator, parts in self._steps]

    def run(self, columns: Mapping[str, Value]) -> dict[str, Value]:
        """The value of each expression; one that is the same for all rows has no rows.

        Args:
            columns: all that the expressions name.
        """
        registers = self._registers.copy()
        for name, place in self._inputs.items():
            registers[place] = columns[name]
        with np.errstate(all="ignore"):
            for place, operator, parts in self._steps:
                registers[place] = operator(*[registers[part] for part in parts])
        return {name: registers[place] for name, place in self._answers.items()}

    def run_one(self, columns: Mapping[str, Value]) -> list[Single]:
        """The value of each expression for a single row; the same as `run`, in less time.

        Args:
            columns: all that the expressions name, of one row.
        """
        values = self._values.copy()
        for name, place in self._inputs.items():
            values[place] = single(columns[name])
        with np.errstate(all="ignore"):
            for place, operator, parts in self._single_steps:
                values[place] = operator(*[values[part] for part in parts])
        return [values[place] for place in self._answers.values()]

    def truths(self, columns: Mapping[str, Value], count: int) -> Flags:
        """Where each of the expressions is true, ``[expressions, rows]``; null is not true.

        Args:
            columns: all that the expressions name.
            count: how many rows there are.
        """
        if count == 1:
            return np.array([[value is True] for value in self.run_one(columns)], dtype=np.bool_).reshape(-1, 1)
        found = np.empty((len(self._answers), count), dtype=np.bool_)
        for i, value in enumerate(self.run(columns).values()):
            found[i] = value.yes if isinstance(value, Truths) else False
        return found

    def numbers(self, columns: Mapping[str, Value], count: int) -> Numbers:
        """The number that each of the expressions is, ``[expressions, rows]``, NaN where there is none.

        Args:
            columns: all that the expressions name.
            count: how many rows there are.
        """
        if count == 1:
            return np.array([[value] for value in self.run_one(columns)], dtype=np.float64).reshape(-1, 1)
        found = np.empty((len(self._answers), count))
        for i, value in enumerate(self.run(columns).values()):
            found[i] = value if isinstance(value, np.ndarray) else np.nan
        return found

    def _place(self, node: exp.Expression) -> int:
        """Where the value of a node will be; nodes that say the same share a place."""
        while isinstance(node, exp.Paren):
            node = node.this
        key = node.sql("duckdb")
        if key not in self._places:
            if isinstance(node, exp.Column):
                self._inputs[node.name] = self._new(key, None)
            elif isinstance(node, exp.Literal | exp.Boolean | exp.Null):
                self._new(key, _constant(node))
            else:
                operator, parts = _FORMS[type(node)](node)
                places = tuple(self._place(part) for part in parts)
                self._steps.append((self._new(key, None), operator, places))
        return self._places[key]

    def _new(self, key: str, value: Value) -> int:
        self._registers.append(value)
        self._places[key] = len(self._registers) - 1
        return self._places[key]


def _constant(node: exp.Expression) -> Value:
    if isinstance(node, exp.Null):
        return None
    if isinstance(node, exp.Boolean):
        return op.known(np.array(bool(node.this)))
    return Texts(np.array(0), (node.name,)) if node.is_string else np.array(float(node.name))


def _parts(operator: op.Operator) -> Callable[[exp.Expression], Form]:
    """An operator of one or two parts."""
    return lambda node: (operator, [part for part in (node.this, node.args.get("expression")) if part is not None])


def _all(operator: op.Operator) -> Callable[[exp.Expression], Form]:
    """An operator of a list of parts."""
    return lambda node: (operator, [node.this, *node.expressions])


def _texts(change: Callable[[str], str]) -> Callable[[exp.Expression], Form]:
    return lambda node: (lambda a: a.map(change) if isinstance(a, Texts) else None, [node.this])


def _in(node: exp.Expression) -> Form:
    if all(isinstance(item, exp.Literal) for item in node.expressions):
        values = [item.name if item.is_string else float(item.name) for item in node.expressions]
        return partial(op.within, values=values), [node.this]
    return (lambda a, *items: op.some(*(op.equal(a, item) for item in items))), [node.this, *node.expressions]


def _is(node: exp.Expression) -> Form:
    if isinstance(node.expression, exp.Boolean):
        return partial(op.is_truth, wanted=bool(node.expression.this)), [node.this]
    return op.is_null, [node.this]


def _case(node: exp.Expression) -> Form:
    if isinstance(node, exp.If):
        return op.case, [node.args.get("false") or exp.Null(), node.this, node.args["true"]]
    asked = [
        branch.this if node.this is None else exp.EQ(this=node.this.copy(), expression=branch.this.copy())
        for branch in node.args["ifs"]
    ]
    ways = [part for way in zip(asked, (b.args["true"] for b in node.args["ifs"]), strict=True) for part in way]
    return op.case, [node.args.get("default") or exp.Null(), *ways]


def _round(node: exp.Expression) -> Form:
    places = node.args.get("decimals")
    return partial(op.rounded, places=int(places.name) if places is not None else 0), [node.this]


def _like(node: exp.Expression) -> Form:
    return partial(op.like, pattern=node.expression.name, ignoring_case=isinstance(node, exp.ILike)), [node.this]


def _replace(node: exp.Expression) -> Form:
    old, new = node.expression.name, node.args["replacement"].name
    return _texts(lambda text: text.replace(old, new))(node)


def _cast(node: exp.Expression) -> Form:
    return partial(op.cast, to=node.args["to"].this), [node.this]


_FORMS: dict[type[exp.Expression], Callable[[exp.Expression], Form]] = {
    exp.Neg: _parts(np.negative),
    exp.Not: _parts(op.negated),
    exp.And: lambda node: (op.every, list(node.flatten())),
    exp.Or: lambda node: (op.some, list(node.flatten())),
    exp.EQ: _parts(op.equal),
    exp.NEQ: _parts(op.differs),
    exp.LT: _parts(op.less),
    exp.LTE: _parts(op.at_most),
    exp.GT: _parts(op.greater),
    exp.GTE: _parts(op.at_least),
    exp.NullSafeEQ: _parts(op.same),
    exp.NullSafeNEQ: _parts(lambda a, b: op.negated(op.same(a, b))),
    exp.Add: _parts(np.add),
    exp.Sub: _parts(np.subtract),
    exp.Mul: _parts(np.multiply),
    exp.Div: _parts(op.quotient),
    exp.DPipe: _parts(op.joined),
    exp.StartsWith: _parts(op.begins),
    exp.Like: _like,
    exp.ILike: _like,
    exp.In: _in,
    exp.Between: lambda node: (op.between, [node.this, node.args["low"], node.args["high"]]),
    exp.Is: _is,
    exp.Case: _case,
    exp.If: _case,
    exp.Coalesce: _all(op.coalesced),
    exp.Nullif: _parts(op.nullified),
    exp.Least: _all(lambda *parts: np.fmin.reduce(np.broadcast_arrays(*parts))),
    exp.Greatest: _all(lambda *parts: np.fmax.reduce(np.broadcast_arrays(*parts))),
    exp.Abs: _parts(np.abs),
    exp.Floor: _parts(np.floor),
    exp.Ceil: _parts(np.ceil),
    exp.Round: _round,
    exp.Ln: _parts(op.logarithm),
    exp.Lower: _texts(str.lower),
    exp.Upper: _texts(str.upper),
    exp.Trim: _texts(lambda text: text.strip(" ")),
    exp.Length: lambda node: (lambda a: a.measure(len) if isinstance(a, Texts) else np.array(np.nan), [node.this]),
    exp.Replace: _replace,
    exp.Cast: _cast,
    exp.TryCast: _cast,
}


def columns_of(frame: pl.DataFrame, names: Iterable[str]) -> dict[str, Value]:
    """Columns of a frame as values."""
    return {name: column_of(frame[name]) for name in names}


@cache
def _alone(sql: str) -> Program:
    return Program({"": sql})


def holds(sql: str, frame: pl.DataFrame) -> pl.Series:
    """In which rows of a frame a predicate is true; null is not true."""
    program = _alone(sql)
    return pl.Series(program.truths(columns_of(frame, program.columns), len(frame))[0])
