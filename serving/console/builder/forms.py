"""A rule as a form: the tree in one hidden field, what was changed of it in others, and what to do with it."""

from collections.abc import Callable, Mapping, Sequence

from pydantic import TypeAdapter, ValidationError
from starlette.datastructures import FormData

from features.definition.schema import Definition
from serving.audience.sentences.read import of_sql
from serving.audience.sentences.tree import Group, Node
from serving.audience.sentences.words import words_of
from serving.audience.sentences.write import to_sql
from serving.console.builder.controls import changed, first_of
from serving.console.catalogue import Catalogue
from serving.console.refusals import ConsoleError

_NODE: TypeAdapter[Node] = TypeAdapter(Node)

#: how the conditions of a group are joined
HOWS = ("all", "any", "none", "not_any")

#: conditions of one rule, and groups in one another
MOST, DEEPEST = 60, 6


def as_group(node: Node) -> Group:
    """A rule as a group: the builder edits groups."""
    return node if isinstance(node, Group) else Group(how="all", of=[node])


def tree_of(form: FormData, definition: Definition) -> Group:
    """The rule that was sent, with what was filled in, and after what was asked for.

    Args:
        form: ``tree`` is the rule as it was shown; ``at.PATH.FIELD`` what was filled in of the condition at a path;
            ``do`` is ``add:PATH``, ``group:PATH`` or ``remove:PATH``.
        definition: what can be chosen.

    Raises:
        ConsoleError: the form is none of ours.
    """
    try:
        root = as_group(_NODE.validate_json(str(form.get("tree", ""))))
    except ValidationError as error:
        raise ConsoleError("builder.unreadable") from error
    given: dict[str, dict[str, list[str]]] = {}
    for key, value in form.multi_items():
        if key.startswith("at.") and isinstance(value, str):
            path, _, field = key.removeprefix("at.").rpartition(".")
            given.setdefault(path, {}).setdefault(field, []).append(value)
    edited = as_group(_edited(root, "", given, definition))
    done = _done(edited, str(form.get("do", "")), definition)
    if _size(done) > MOST or _depth(done) > DEEPEST:
        raise ConsoleError("builder.too_large", most=MOST, deepest=DEEPEST)
    return done


def _edited(node: Node, path: str, given: Mapping[str, Mapping[str, list[str]]], definition: Definition) -> Node:
    mine = given.get(path, {})
    if isinstance(node, Group):
        how = mine.get("how", [node.how])[-1]
        parts = [_edited(part, _below(path, i), given, definition) for i, part in enumerate(node.of)]
        return Group.model_validate({"how": how if how in HOWS else node.how, "of": parts})
    return changed(node, mine, definition)


def _done(root: Group, do: str, definition: Definition) -> Group:
    what, _, path = do.partition(":")
    steps = [int(step) for step in path.split(".") if step.isascii() and step.isdigit()]
    if what == "add":
        return _at(root, steps, lambda group: [*group.of, first_of("did", definition)])
    if what == "group":
        inner = Group(how="any", of=[first_of("did", definition)])
        return _at(root, steps, lambda group: [*group.of, inner])
    if what == "remove" and steps:
        return _without(root, steps)
    return root


def _at(group: Group, steps: Sequence[int], parts: Callable[[Group], list[Node]]) -> Group:
    """The tree with other parts of the group at a path."""
    if not steps:
        return group.model_copy(update={"of": parts(group)})
    i = steps[0]
    if i >= len(group.of) or not isinstance(inner := group.of[i], Group):
        return group
    return group.model_copy(update={"of": [*group.of[:i], _at(inner, steps[1:], parts), *group.of[i + 1 :]]})


def _without(group: Group, steps: Sequence[int]) -> Group:
    """The tree without the part at a path; a group without parts goes, too, but for the whole."""
    i = steps[0]
    if i >= len(group.of):
        return group
    if len(steps) == 1:
        rest = [*group.of[:i], *group.of[i + 1 :]]
        return group.model_copy(update={"of": rest}) if rest else group
    inner = group.of[i]
    if not isinstance(inner, Group):
        return group
    if len(steps) == 2 and len(inner.of) == 1 and len(group.of) > 1:
        return _without(group, [i])
    return group.model_copy(update={"of": [*group.of[:i], _without(inner, steps[1:]), *group.of[i + 1 :]]})


def _below(path: str, i: int) -> str:
    return f"{path}.{i}" if path else str(i)


def _size(node: Node) -> int:
    return sum(map(_size, node.of)) if isinstance(node, Group) else 1


def _depth(node: Node) -> int:
    return 1 + max(map(_depth, node.of)) if isinstance(node, Group) else 0


def as_json(root: Group) -> str:
    """The rule as the hidden field has it."""
    return root.model_dump_json()


def sentences_of(sql: str, definition: Definition, words: Catalogue) -> list[str]:
    """The conditions at the top of a rule, in words; a group among them is named by its SQL."""
    found = as_group(of_sql(sql, definition))
    if found.how != "all":
        found = Group(how="all", of=[found])
    return [
        str(to_sql(part, definition)) if isinstance(part, Group) else words_of(part, definition, words.sentences)
        for part in found.of
    ]
