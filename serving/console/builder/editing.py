"""A segment that is being edited: its form, its rule, and whom the rule finds."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from starlette.datastructures import FormData

from features.definition.schema import Definition
from features.definition.sections.rule import Segment
from features.errors import PropensityError
from serving.audience.population import Population
from serving.audience.rule import checked
from serving.audience.sentences.read import of_sql
from serving.audience.sentences.tree import Group
from serving.audience.sentences.write import to_sql
from serving.audience.sizes import Size, size_of
from serving.console.builder.controls import first_of
from serving.console.builder.forms import as_group, tree_of
from serving.database.console.drafts import Draft


@dataclass(frozen=True, slots=True)
class Editing:
    """A segment that is being edited.

    Attributes:
        name: of the segment; empty of a new one.
        new: whether the definition has none of this name.
        upon: the number of the draft that is edited; 0 where there is none.
        tree: the rule.
        sql: the same as the definition has it; empty where it cannot be meant.
        about: the segment in words.
        do: what to do for its users.
        avoid: what not to do.
        holdout: the share that is held out, as a text; empty for the usual one.
        exit_when: when users leave; empty where as soon as the rule does not hold.
        kept: keys of the segment that the form does not show, as they are.
        size: whom the rule finds; None where that cannot be counted.
        problem: why not; empty where it was counted.
        fix: what to do about that.
    """

    name: str
    new: bool
    upon: int
    tree: Group
    sql: str = ""
    about: str = ""
    do: str = ""
    avoid: str = ""
    holdout: str = ""
    exit_when: str = ""
    kept: Mapping[str, object] = field(default_factory=dict)
    size: Size | None = None
    problem: str = ""
    fix: str = ""

    @property
    def content(self) -> dict[str, object]:
        """The keys of the segment, as a definition has them."""
        found: dict[str, object] = {"when": self.sql}
        if self.about:
            found["about"] = self.about
        if self.do:
            found["playbook"] = {"do": self.do} | ({"avoid": self.avoid} if self.avoid else {})
        if self.holdout:
            found["holdout"] = self.holdout if _share(self.holdout) is None else float(self.holdout)
        if self.exit_when:
            found["exit_when"] = self.exit_when
        return found | dict(self.kept)


def new(definition: Definition) -> Editing:
    """A segment that nobody has written yet."""
    return Editing("", True, 0, Group(how="all", of=[first_of("did", definition)]))


def _as_it_is(name: str, definition: Definition, draft: Draft | None) -> Segment:
    return definition.segments[name] if draft is None else Segment.model_validate({**draft.content})


def _kept(rule: Segment) -> dict[str, object]:
    """The keys of a segment that the form does not show."""
    return rule.model_dump(mode="json", exclude_defaults=True, include={"metrics", "min_dwell"})


def of_segment(name: str, definition: Definition, draft: Draft | None) -> Editing:
    """A segment as it is: its draft where there is one, and otherwise as it is published."""
    rule = _as_it_is(name, definition, draft)
    do, avoid = (rule.playbook.do, rule.playbook.avoid) if rule.playbook is not None else ("", "")
    return Editing(
        name=name, new=name not in definition.segments, upon=draft.number if draft is not None else 0,
        tree=as_group(of_sql(rule.when, definition)), about=rule.about, do=do, avoid=avoid,
        holdout="" if rule.holdout is None else f"{rule.holdout:g}", exit_when=str(rule.exit_when or ""),
        kept=_kept(rule),
    )  # fmt: skip


def of_form(form: FormData, definition: Definition, draft: Draft | None) -> Editing:
    """A segment as it was filled in.

    Args:
        form: what was filled in.
        definition: what there is.
        draft: of the segment, where there is one.
    """

    def text(name: str) -> str:
        return str(form.get(name, "")).strip()

    name, upon = text("name"), text("upon")
    tree = tree_of(form, definition)
    if form.get("do") == "read" and text("sql"):
        tree = as_group(of_sql(checked(text("sql"), definition), definition))
    return Editing(
        name=name, new=name not in definition.segments, upon=int(upon) if upon.isdigit() else 0, tree=tree,
        about=text("about"), do=text("play_do"), avoid=text("play_avoid"), holdout=text("holdout"),
        exit_when=text("exit_when"),
        kept=_kept(_as_it_is(name, definition, draft)) if draft is not None or name in definition.segments else {},
    )  # fmt: skip


def counted(editing: Editing, population: Population) -> Editing:
    """The same with its rule as SQL, and whom it finds against what is published."""
    definition = population.definition
    try:
        sql = str(to_sql(editing.tree, definition))
        editing = replace(editing, sql=sql)
        saved = definition.segments.get(editing.name)
        size = size_of(
            population, sql, saved=str(saved.when) if saved is not None else None, name=editing.name or None,
            share=_share(editing.holdout),
        )  # fmt: skip
    except PropensityError as error:
        return replace(editing, problem=error.message, fix=error.fix)
    return replace(editing, size=size)


def _share(holdout: str) -> float | None:
    try:
        return float(holdout) if holdout else None
    except ValueError:
        return None


def effect_of(size: Size | None) -> Mapping[str, int]:
    """How many users a rule finds, and how many enter and leave, to be kept with what is published."""
    if size is None:
        return {}
    moves = {"enter": size.enter, "leave": size.leave}
    return {"users": size.size, **{name: one.count for name, one in moves.items() if one is not None}}
