"""The text of a rule that is being written: other segments put in, and checked as a definition's would be."""

import difflib

from sqlglot import exp

from features.definition.file.load import check_segment
from features.definition.schema import Definition
from features.errors import DefinitionError
from features.expressions.expression import Expression, rewritten
from features.expressions.parse import parse_expression


def checked(sql: str, definition: Definition, *, key: str = "segments.draft") -> Expression:
    """Check a rule; ``segments.<name>`` in it becomes that segment's rule.

    Args:
        sql: as one writes it.
        definition: whose columns and segments it may name.
        key: what to call it in the error.

    Raises:
        DefinitionError: it cannot be meant.
    """
    written = Expression(sql.strip())
    if not written:
        raise DefinitionError(f"{key}: the rule is empty.", fix="write a condition, as in 'tenure_days > 7'")
    tree = parse_expression(written, key=key)
    if any(column.table == "segments" for column in tree.find_all(exp.Column)):
        whole = rewritten(tree.copy(), lambda node: _put_in(node, definition, key))
        written = Expression(whole.sql("duckdb"))
    return check_segment(written, definition, key=key)


def _put_in(node: exp.Expression, definition: Definition, key: str) -> exp.Expression:
    """The rule of the segment that a column names, as `serving.audience.sentences.tree.Member` is written."""
    if not isinstance(node, exp.Column) or node.table != "segments":
        return node
    rule = definition.segments.get(node.name)
    if rule is None:
        near = difflib.get_close_matches(node.name, definition.segments, n=3, cutoff=0.4) or list(definition.segments)
        raise DefinitionError(f"{key}: there is no segment {node.name!r}.", fix=f"nearest: {', '.join(near)}")
    return exp.Is(this=exp.Paren(this=rule.when.tree.copy()), expression=exp.Boolean(this=True))


def parts_of(rule: Expression) -> tuple[str, list[Expression]]:
    """The conditions at the top of a rule, and what joins them: ``all`` or ``any``."""
    tree = rule.tree.unnest()
    if not isinstance(tree, exp.And | exp.Or):
        return "all", [rule]
    how = "all" if isinstance(tree, exp.And) else "any"
    return how, [Expression(part.sql("duckdb")) for part in tree.flatten()]
