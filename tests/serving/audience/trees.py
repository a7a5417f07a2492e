"""Trees of rules as Hypothesis draws them, of a definition."""

from hypothesis import strategies as st

from features.definition.file.load import rule_columns
from features.definition.names import RFM_GROUPS, TIERS
from features.definition.schema import Definition
from serving.audience.sentences.columns import subjects
from serving.audience.sentences.tree import Among, Did, DidNot, Group, Known, Limited, Member, Node, Since, Sql, Then

_NUMBERS = st.one_of(st.integers(-3, 100).map(float), st.floats(-1e6, 1e6, allow_nan=False), st.just(1e-9))
_COMPARISONS = st.sampled_from(["at_least", "more_than", "at_most", "less_than", "exactly", "not_exactly"])


def leaves(definition: Definition) -> st.SearchStrategy[Node]:
    """Conditions of every kind."""
    known, schema = subjects(definition), list(rule_columns(definition, True))
    values = {"state": list(definition.states), "rfm_group": list(RFM_GROUPS), "tier": list(TIERS)}

    @st.composite
    def on_column(draw: st.DrawFn) -> Node:
        kind, parts = known[draw(st.sampled_from(schema))]
        if not issubclass(kind, Limited):
            texts = st.sampled_from(values.get(kind.model_fields["kind"].default, ["ios", "it's", 'a "b"', "gold"]))
            return kind(**dict(parts), values=draw(st.lists(texts, min_size=1, max_size=3, unique=True)),
                        inside=draw(st.booleans()))  # fmt: skip
        low = draw(_NUMBERS)
        if draw(st.integers(0, 4)) == 0:
            return kind(**dict(parts), comparison="between", number=low, upto=low + abs(draw(_NUMBERS)))
        return kind(**dict(parts), comparison=draw(_COMPARISONS), number=low)

    signals, windows = st.sampled_from(list(definition.signals)), [None, "2h", "7d", "90d"]
    return st.one_of(
        on_column(),
        st.builds(DidNot, signal=signals, window=st.sampled_from(windows)),
        st.builds(Since, signal=signals, since=signals, did=st.booleans()),
        st.builds(Then, first=signals, second=signals, days=st.sampled_from([0.5, 7.0])),
        st.builds(Known, column=st.sampled_from(schema), known=st.booleans()),
        st.builds(Member, segment=st.sampled_from(list(definition.segments)), inside=st.booleans()),
        st.just(Sql(sql="purchase_value_total >= 100 * purchase_count_total")),
    )


def trees(definition: Definition) -> st.SearchStrategy[Node]:
    """Groups of groups of conditions."""
    hows = st.sampled_from(["all", "any", "none", "not_any"])
    return st.recursive(
        leaves(definition), lambda inner: st.builds(Group, how=hows, of=st.lists(inner, min_size=1, max_size=4)),
        max_leaves=8,
    )  # fmt: skip


def plain(node: Node) -> Node:
    """The simplest tree of the same meaning that reads and writes the same SQL."""
    if isinstance(node, Did) and (node.comparison, node.number, node.counted) == ("exactly", 0, "times"):
        return DidNot(signal=node.signal, window=node.window)
    if not isinstance(node, Group):
        return node
    parts = [plain(part) for part in node.of]
    [first, *rest] = parts
    if node.how in ("all", "any") and not rest:
        return first
    if node.how in ("none", "not_any") and not rest and isinstance(first, Group) and first.how == "any":
        parts = first.of
    if node.how == "not_any" and not rest:
        if isinstance(first, Member) or (isinstance(first, Among) and first.values[1:]):
            return first.model_copy(update={"inside": False}) if first.inside else Group(how=node.how, of=parts)
        if isinstance(first, Known) and not first.known:
            return first.model_copy(update={"known": True})
    return Group(how=node.how, of=parts)
