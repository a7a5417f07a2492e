"""The builder: a segment is edited, saved as a draft, published, and taken back."""

from typing import NamedTuple

from pydantic import TypeAdapter, ValidationError
from starlette.responses import RedirectResponse, Response

from features.definition.sections.base import Name
from features.definition.sections.rule import Segment
from features.errors import DefinitionError
from serving.audience.rule import checked
from serving.audience.sentences.words import words_of
from serving.console.builder.controls import kinds
from serving.console.builder.editing import Editing, counted, effect_of, new, of_form, of_segment
from serving.console.builder.forms import as_json, sentences_of
from serving.console.builder.publishing import included, publish
from serving.console.builder.suggested import suggested
from serving.console.catalogue import LANGUAGES
from serving.console.office import Visit
from serving.console.pages import page_of
from serving.console.refusals import ConsoleError
from serving.console.screen import Screen
from serving.console.screens.segments import check_segment
from serving.database.console.drafts import Content, Draft

ADDRESS = "/console/segments"

_NAME: TypeAdapter[str] = TypeAdapter(Name)


class Why(NamedTuple):
    """Why a segment cannot be saved.

    Attributes:
        text: in words; empty where it can.
        language: of the words: those of the engine, which name SQL and keys, are English.
    """

    text: str
    language: str = LANGUAGES[0]


NOTHING = Why("")


def _page(visit: Visit, editing: Editing, *, conflict: Draft | None = None, why: Why = NOTHING) -> Response:
    """The builder; its form alone where a script asks for it."""
    definition = visit.office.desk.definition
    template = "builder_form.html" if "x-fragment" in visit.request.headers else "builder.html"
    return page_of(
        visit, template, "segments", editing=editing, conflict=conflict, why=why, kinds=kinds(definition),
        controls=lambda leaf: suggested(leaf, visit.office.population, visit.words), tree=as_json(editing.tree),
        sentence=lambda node: words_of(node, definition, visit.words.sentences),
    )  # fmt: skip


def _new(visit: Visit) -> Response:
    return _page(visit, counted(new(visit.office.desk.definition), visit.office.population))


def _edit(visit: Visit) -> Response:
    name, definition = visit.request.path_params["name"], visit.office.desk.definition
    draft = visit.office.drafts.of(name)
    if draft is None:
        check_segment(visit, name)
    return _page(visit, counted(of_segment(name, definition, draft), visit.office.population))


def _change(visit: Visit) -> Response:
    draft = visit.office.drafts.of(visit.field("name").strip())
    editing = counted(of_form(visit.form, visit.office.desk.definition, draft), visit.office.population)
    if visit.field("do") != "save":
        return _page(visit, editing)
    if (why := _unfit(visit, editing)).text:
        return _page(visit, editing, why=why)
    who = visit.session.name if visit.session is not None else ""
    saved = visit.office.drafts.save(editing.name, editing.content, who, visit.now, upon=editing.upon)
    if saved is None:
        return _page(visit, editing, conflict=visit.office.drafts.of(editing.name))
    visit.wrote("draft", editing.name, number=saved.number)
    return RedirectResponse(f"{ADDRESS}/{editing.name}/draft", 303)


def _unfit(visit: Visit, editing: Editing) -> Why:
    """Why a segment cannot be saved."""
    definition, t = visit.office.desk.definition, visit.words
    if not editing.sql:
        return Why(editing.problem)
    if editing.name in definition.by_hand:
        return Why(t("builder.of_file", name=editing.name, file=definition.file.name), t.language)
    try:
        _NAME.validate_python(editing.name)
    except ValidationError:
        return Why(t("builder.name"), t.language)
    try:
        rule = Segment.model_validate(editing.content)
        if rule.exit_when is not None:
            checked(str(rule.exit_when), definition, key="exit_when")
    except ValidationError as error:
        return Why("; ".join(f"{one['loc'][0]}: {one['msg']}" for one in error.errors(include_url=False)))
    except (DefinitionError, ValueError) as error:
        return Why(str(error))
    return NOTHING


def _draft(visit: Visit) -> Response:
    """A draft beside what is published, and what publishing it would do."""
    name, definition = visit.request.path_params["name"], visit.office.desk.definition
    draft = visit.office.drafts.of(name)
    if draft is None:
        raise ConsoleError("builder.no_draft", 404, name=name[:60])
    editing = counted(of_segment(name, definition, draft), visit.office.population)
    published = definition.segments.get(name)
    before = published.model_dump(mode="json", exclude_defaults=True) if published is not None else {}
    return page_of(
        visit, "draft.html", "segments", draft=draft, editing=editing, changes=_changes(before, draft.content),
        history=visit.office.drafts.history(name), includes=definition.include_file is not None,
        before=sentences_of(str(published.when), definition, visit.words) if published is not None else [],
        after=sentences_of(editing.sql, definition, visit.words),
    )  # fmt: skip


def _changes(before: Content, after: Content) -> list[tuple[str, object, object]]:
    """The keys of a segment that differ: the key, before, and after."""
    keys = dict.fromkeys([*before, *after])
    return [(key, before.get(key), after.get(key)) for key in keys if before.get(key) != after.get(key)]


def _publish(visit: Visit) -> Response:
    name, definition = visit.request.path_params["name"], visit.office.desk.definition
    draft = visit.office.drafts.of(name)
    if draft is None or str(draft.number) != visit.field("number"):
        raise ConsoleError("builder.moved_on")
    why = visit.field("why").strip()
    if not why or visit.field("confirmed") != "yes":
        raise ConsoleError("builder.unconfirmed")
    editing = counted(of_segment(name, definition, draft), visit.office.population)
    effect = effect_of(editing.size)
    _put(visit, name, draft.content, why, effect)
    visit.wrote("publish", name, why=why, **effect)
    return RedirectResponse(f"{ADDRESS}/{name}/published", 303)


def _put(visit: Visit, name: str, content: Content | None, why: str, effect: dict[str, int] | Content) -> None:
    """Write a segment into the included file, and keep that it was."""
    definition, settings = visit.office.desk.definition, visit.office.settings
    publish(definition, settings.folder(definition.name) / "publishing", name, content)
    who = visit.session.name if visit.session is not None else ""
    numbers = {key: int(value) for key, value in effect.items() if isinstance(value, int)}
    visit.office.drafts.published(name, content, who, visit.now, why=why, effect=numbers)


def _undo(visit: Visit) -> Response:
    """Publish again what was published before; what was published first is taken out."""
    name = visit.request.path_params["name"]
    history = visit.office.drafts.history(name)
    if not history or str(history[0].id) != visit.field("number"):
        raise ConsoleError("builder.moved_on")
    content = history[1].content if len(history) > 1 else None
    _put(visit, name, content, visit.words("builder.undone"), {})
    visit.wrote("undo", name, publication=history[0].id)
    return RedirectResponse(f"{ADDRESS}/{name}/published", 303)


def _discard(visit: Visit) -> Response:
    name = visit.request.path_params["name"]
    visit.office.drafts.remove(name)
    visit.wrote("discard", name)
    return RedirectResponse(ADDRESS, 303)


def _published(visit: Visit) -> Response:
    name = visit.request.path_params["name"]
    history = visit.office.drafts.history(name)
    if not history:
        raise ConsoleError("builder.never", 404, name=name[:60])
    file = included(visit.office.desk.definition)
    return page_of(visit, "published.html", "segments", name=name, history=history, file=file.name)


SCREENS = (
    Screen("/new-segment", "GET", "edit", _new),
    Screen("/edit-segment", "POST", "edit", _change),
    Screen("/segments/{name}/edit", "GET", "edit", _edit),
    Screen("/segments/{name}/draft", "GET", "look", _draft),
    Screen("/segments/{name}/discard", "POST", "edit", _discard),
    Screen("/segments/{name}/publish", "POST", "publish", _publish),
    Screen("/segments/{name}/undo", "POST", "publish", _undo),
    Screen("/segments/{name}/published", "GET", "look", _published),
)
