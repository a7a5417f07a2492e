"""From the tree of a rule to SQL."""

from features.definition.schema import Definition
from features.errors import DefinitionError
from features.expressions.expression import Expression
from serving.audience.sentences.columns import column_of, quoted
from serving.audience.sentences.tree import (
    Among,
    Amount,
    Answer,
    Did,
    DidNot,
    Group,
    Known,
    Lead,
    Leaf,
    Limited,
    Member,
    Node,
    Number,
    Recency,
    RfmGroup,
    Since,
    Sql,
    State,
    Then,
    Tier,
    Trait,
)

SIGNS = {"at_least": ">=", "more_than": ">", "at_most": "<=", "less_than": "<", "exactly": "=", "not_exactly": "<>"}


def to_sql(tree: Node, definition: Definition) -> Expression:
    """Write a tree as the SQL of a segment's rule; `of_sql` reads it again.

    Args:
        tree: the tree.
        definition: whose columns and segments.

    Raises:
        DefinitionError: the definition does not have what a condition names. What else can be wrong with the SQL is
            found by `features.definition.file.load.check_segment`.
    """
    return Expression(_group(tree, definition) if isinstance(tree, Group) else _leaf(tree, definition))


def _group(group: Group, definition: Definition) -> str:
    parts = [_inside(node, definition) for node in group.of]
    if group.how == "all":
        return " AND ".join(parts)
    some = " OR ".join(parts)
    if group.how == "any":
        return some
    return f"({some}) IS NOT TRUE" if group.how == "none" else f"NOT ({some})"


def _inside(node: Node, definition: Definition) -> str:
    """A condition beside others: in parentheses where it is made of several."""
    sql = str(to_sql(node, definition))
    whole = isinstance(node, Group | Then | Sql) or (isinstance(node, Since) and not node.did)
    return f"({sql})" if whole else sql


def _leaf(leaf: Leaf, definition: Definition) -> str:
    match leaf:
        case Sql():
            return leaf.sql
        case DidNot():
            return (
                f"{column(Did(signal=leaf.signal, window=leaf.window, comparison='exactly', number=0), definition)} = 0"
            )
        case Since():
            last, since = (_last(signal, definition) for signal in (leaf.signal, leaf.since))
            ever = column(Did(signal=leaf.signal, comparison="exactly", number=0), definition)
            return f"{last} <= {since}" if leaf.did else f"{ever} = 0 OR {last} > {since}"
        case Then():
            first, second = (_last(signal, definition) for signal in (leaf.first, leaf.second))
            return f"{first} > {second} AND {first} - {second} <= {number(leaf.days)}"
        case Known():
            return f"{quoted(leaf.column)} IS {'NOT ' if leaf.known else ''}NULL"
        case Member():
            return f"({_rule_of(leaf.segment, definition)}) IS {'' if leaf.inside else 'NOT '}TRUE"
        case Among():
            return _among(column(leaf, definition), leaf)
    return _limited(column(leaf, definition), leaf)


def column(leaf: Limited | Among, definition: Definition) -> str:
    """The column that a condition compares, as SQL writes it."""
    match leaf:
        case Did():
            named = {"signal": leaf.signal, "counted": leaf.counted, "window": leaf.window}
        case Amount():
            named = {"signal": leaf.signal, "of": leaf.of, "window": leaf.window}
        case Recency():
            named = {"signal": leaf.signal, "moment": leaf.moment}
        case Answer():
            named = {"outcome": leaf.outcome, "measure": leaf.measure}
        case Tier():
            named = {"outcome": leaf.outcome}
        case Trait():
            named = {"trait": leaf.trait}
        case Lead():
            named = {"lead": leaf.lead}
        case Number():
            return quoted(leaf.column)
        case State() | RfmGroup():
            return quoted(column_of(type(leaf), definition))
        case _:
            raise TypeError(type(leaf).__name__)
    return quoted(column_of(type(leaf), definition, **named))


def _last(signal: str, definition: Definition) -> str:
    return column(Recency(signal=signal, comparison="at_least", number=0), definition)


def _rule_of(segment: str, definition: Definition) -> Expression:
    if segment not in definition.segments:
        raise DefinitionError(f"there is no segment {segment!r}.", fix=f"segments are {', '.join(definition.segments)}")
    return definition.segments[segment].when


def _limited(name: str, leaf: Limited) -> str:
    if leaf.upto is not None:
        return f"{name} BETWEEN {number(leaf.number)} AND {number(leaf.upto)}"
    return f"{name} {SIGNS[leaf.comparison]} {number(leaf.number)}"


def _among(name: str, leaf: Among) -> str:
    texts = ["'" + value.replace("'", "''") + "'" for value in leaf.values]
    if len(texts) == 1:
        return f"{name} {'=' if leaf.inside else '<>'} {texts[0]}"
    return f"{name} {'' if leaf.inside else 'NOT '}IN ({', '.join(texts)})"


def number(value: float) -> str:
    """A number as SQL writes it."""
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(value)
