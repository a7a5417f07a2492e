"""The builder: exact sizes while a rule is edited, drafts that do not overwrite one another, and publication."""

import html
import json
import re
import shutil
from collections.abc import Iterator

import polars as pl
import pytest
import yaml

from features.definition import load_definition
from features.definition.sections.rule import Segment
from serving.audience.population import Population
from serving.audience.rule import parts_of
from serving.audience.sizes import size_of
from serving.database.console.drafts import Drafts
from tests.serving.console.conftest import SCRIPT, Consoled, Visitor
from tests.serving.ingest.asking import until

pytestmark = pytest.mark.xdist_group("console")

SEGMENT = "repeat_buyer"


@pytest.fixture
def file(consoled: Consoled) -> Iterator[str]:
    """The included file; gone after the test."""
    path = consoled.world.folder / "segments.yaml"
    yield str(path)
    path.unlink(missing_ok=True)


def form_of(visitor: Visitor) -> dict[str, str]:
    """What a browser would send of the form that is shown, without a change."""
    page = visitor.page.text
    form = page[page.index('<form method="post" action="/console/edit-segment"') :]
    found = dict(re.findall(r'<input[^>]*name="([^"]+)"[^>]*value="([^"]*)"', form[: form.index("</form>")]))
    return {name: html.unescape(value) for name, value in found.items() if not name.startswith("at.")}


def size_on(visitor: Visitor) -> int:
    [shown] = re.findall(r'<aside.*?<p class="number">([\d,]+)</p>', visitor.page.text, re.S)
    return int(shown.replace(",", ""))


def edit(visitor: Visitor, **fields: str) -> None:
    form = form_of(visitor) | fields
    csrf = form.pop("csrf")
    visitor.post("/edit-segment", csrf=csrf, **form)


def counted(consoled: Consoled, sql: str) -> int:
    return size_of(Population(consoled.world.definition, consoled.world.settings), sql).size


def test_every_segment_opens_in_the_builder_with_the_size_that_the_list_has(consoled: Consoled) -> None:
    visitor = consoled.visitor("editor")
    for name, rule in consoled.world.definition.segments.items():
        assert visitor.get(f"/segments/{name}/edit").status_code == 200
        assert size_on(visitor) == counted(consoled, str(rule.when)), name


def test_a_change_is_counted_with_who_enters_and_leaves(consoled: Consoled) -> None:
    visitor = consoled.visitor("editor")
    visitor.get(f"/segments/{SEGMENT}/edit")
    before = size_on(visitor)
    edit(visitor, **{"do": "add:", "at..how": "any"})
    tree = json.loads(form_of(visitor)["tree"])
    assert tree["how"] == "any"
    assert tree["of"][-1]["kind"] == "did"
    last = len(tree["of"]) - 1
    edit(visitor, **{f"at.{last}.kind": "state"})
    edit(visitor, **{f"at.{last}.values": "churned", "do": "count"})
    _, parts = parts_of(consoled.world.definition.segments[SEGMENT].when)
    expected = counted(consoled, " OR ".join([*(f"({part})" for part in parts), "state = 'churned'"]))
    assert size_on(visitor) == expected
    assert f"{expected - before:,} would enter" in visitor.text
    assert "0 would leave" in visitor.text
    edit(visitor, do=f"remove:{last}")
    assert json.loads(form_of(visitor)["tree"])["of"] == tree["of"][:last]


def test_sql_becomes_sentences_and_what_is_wrong_with_it_is_shown(consoled: Consoled) -> None:
    visitor = consoled.visitor("editor")
    visitor.get("/new-segment")
    edit(visitor, do="read", sql="state = 'at_risk' AND purchase_count_90d >= 2")
    assert [leaf["kind"] for leaf in json.loads(form_of(visitor)["tree"])["of"]] == ["state", "did"]
    assert size_on(visitor) == counted(consoled, "state = 'at_risk' AND purchase_count_90d >= 2")
    edit(visitor, do="read", sql="purchase_count_90d >= ")
    assert visitor.page.status_code == 400
    visitor.get("/new-segment")
    edit(visitor, do="read", sql="state = 'nowhere'")
    assert "never 'nowhere'" in visitor.text


@pytest.mark.parametrize("name", ["", "Two words", "new-name", "x" * 60, SCRIPT, "é"])
def test_a_name_that_cannot_be_is_refused(consoled: Consoled, name: str) -> None:
    visitor = consoled.visitor("editor")
    visitor.get("/new-segment")
    edit(visitor, name=name, do="save")
    assert "A name is made of" in visitor.text
    assert SCRIPT not in visitor.page.text


def test_a_segment_that_is_written_by_hand_is_not_changed(consoled: Consoled) -> None:
    visitor = consoled.visitor("editor")
    visitor.get("/segments/first_purchase_ready/edit")
    edit(visitor, do="save")
    assert "written by hand in propensity.yaml" in visitor.text


def test_the_second_who_saves_is_shown_the_draft_of_the_first(consoled: Consoled) -> None:
    one, other = consoled.visitor("editor"), consoled.visitor("publisher")
    for visitor in (one, other):
        visitor.get(f"/segments/{SEGMENT}/edit")
    edit(one, about="by the first", do="save")
    assert one.page.url.path == f"/console/segments/{SEGMENT}/draft"
    edit(other, about="by the second", do="save")
    assert "editor-key saved a draft of this segment" in other.text
    other.get(f"/segments/{SEGMENT}/draft")
    assert "by the first" in other.text
    assert "by the second" not in other.text
    one.post(f"/segments/{SEGMENT}/discard")
    assert one.get(f"/segments/{SEGMENT}/draft").status_code == 404


def test_what_the_form_does_not_show_stays(consoled: Consoled) -> None:
    definition = consoled.world.definition
    kept = {name: rule for name, rule in definition.segments.items() if rule.metrics and name not in definition.by_hand}
    assert kept
    visitor, log = consoled.visitor("editor"), consoled.log
    for name, rule in list(kept.items())[:3]:
        visitor.get(f"/segments/{name}/edit")
        edit(visitor, do="save")
        visitor.get(f"/segments/{name}/edit")
        edit(visitor, do="save")
        draft = Drafts(log).of(name)
        assert draft is not None
        saved = Segment.model_validate(dict(draft.content))
        assert (saved.metrics, saved.min_dwell, saved.playbook) == (rule.metrics, rule.min_dwell, rule.playbook)
        visitor.post(f"/segments/{name}/discard")
    log.close()


def test_a_segment_is_drafted_published_and_taken_back(consoled: Consoled, file: str) -> None:
    editor, publisher = consoled.visitor("editor"), consoled.visitor("publisher")
    editor.get("/new-segment")
    edit(editor, do="read", sql="state = 'at_risk' AND visit_count_total >= 3")
    edit(editor, name="worth_a_call", about="a talk may help", play_do="Call them.", do="save")
    number = re.findall(r'name="number" value="(\d+)"', editor.page.text)
    assert not number, "an editor does not publish"
    assert editor.post("/segments/worth_a_call/publish", why="x", confirmed="yes", number="1").status_code == 403
    publisher.get("/segments/worth_a_call/draft")
    size = counted(consoled, "state = 'at_risk' AND visit_count_total >= 3")
    assert f"Users {size:,}" in publisher.text
    assert publisher.post("/segments/worth_a_call/publish", number="1", why="").status_code == 400
    publisher.get("/segments/worth_a_call/draft")
    publisher.post("/segments/worth_a_call/publish", number="1", why="the campaign of March", confirmed="yes")
    assert publisher.page.url.path == "/console/segments/worth_a_call/published"
    assert "the campaign of March" in publisher.text
    until(lambda: publisher.get("/segments/worth_a_call").status_code == 200, 60)
    publisher.get("/")
    assert "The definition has changed" not in publisher.text
    publisher.get("/segments/worth_a_call/published")
    rule = load_definition(consoled.world.folder / "propensity.yaml").segments["worth_a_call"]
    assert (rule.about, rule.playbook and rule.playbook.do) == ("a talk may help", "Call them.")
    assert counted(consoled, str(rule.when)) == size
    publisher.post("/segments/worth_a_call/undo", number="1")
    assert "worth_a_call" not in load_definition(consoled.world.folder / "propensity.yaml").segments
    publisher.get("/log")
    assert re.search(rf"publish worth_a_call users: {size}, why: the campaign of March", publisher.text)
    assert "undo worth_a_call" in publisher.text


def test_what_would_not_load_leaves_the_file_as_it_was(consoled: Consoled, file: str) -> None:
    publisher = consoled.visitor("publisher")
    path = consoled.world.folder / "segments.yaml"
    path.write_text("segments:\n  kept: {when: tenure_days > 3}\n")
    broken = consoled.world.folder / "propensity.yaml"
    shutil.copy(broken, broken.with_suffix(".whole"))
    was = path.stat()
    publisher.get("/new-segment")
    edit(publisher, name="late", do="save")
    try:
        content = yaml.safe_load(broken.read_text())
        content["segments"] = {"late": "tenure_days > 3"}  # by hand, meanwhile
        broken.write_text(yaml.safe_dump(content, sort_keys=False))
        publisher.get("/segments/late/draft")
        assert publisher.post("/segments/late/publish", number="1", why="x", confirmed="yes").status_code == 400
        assert "segments.late is in" in publisher.text
        assert yaml.safe_load(path.read_text()) == {"segments": {"kept": {"when": "tenure_days > 3"}}}
        assert (path.stat().st_ino, path.stat().st_mtime_ns) == (was.st_ino, was.st_mtime_ns), "at no moment another"
    finally:
        broken.with_suffix(".whole").rename(broken)
        publisher.get("/segments/late/draft")
        publisher.post("/segments/late/discard")


def test_a_form_that_is_none_of_ours_is_refused_in_words(consoled: Consoled) -> None:
    visitor = consoled.visitor("editor")
    visitor.get("/new-segment")
    csrf = visitor.csrf
    wrong: list[dict[str, str]] = [
        {}, {"tree": "{}"}, {"tree": "[]"}, {"tree": '{"kind": "did"}'}, {"tree": "x" * 1000},
        {"tree": json.dumps({"kind": "group", "how": "all", "of": [{"kind": "sql", "sql": "true"}] * 80})},
    ]  # fmt: skip
    for fields in wrong:
        assert visitor.post("/edit-segment", csrf=csrf, **fields).status_code == 400, fields
    right = {"tree": json.dumps({"kind": "group", "how": "all", "of": [{"kind": "sql", "sql": "tenure_days > 3"}]})}
    for path in ("at.9.9.kind", "at.x.y", "at..kind", "at.0.kind"):
        assert visitor.post("/edit-segment", csrf=csrf, **right, **{path: SCRIPT}).status_code == 200, path
        assert SCRIPT not in visitor.page.text
    for do in ("add:7", "remove:7.7", "remove:", "group:x", "nothing"):
        assert visitor.post("/edit-segment", csrf=csrf, **right, do=do).status_code == 200, do


def test_who_may_only_look_cannot_edit(consoled: Consoled) -> None:
    visitor = consoled.visitor("viewer")
    assert visitor.get(f"/segments/{SEGMENT}/edit").status_code == 403
    assert visitor.get("/new-segment").status_code == 403
    visitor.get("/segments")
    assert "new-segment" not in visitor.page.text


def test_names_of_users_are_those_of_the_population(consoled: Consoled) -> None:
    visitor = consoled.visitor("editor")
    visitor.get("/new-segment")
    edit(visitor, do="read", sql="state = 'new' AND visit_count_30d < 2")
    known = re.findall(r'<li><a class="id"[^>]*>([^<]+)</a>', visitor.page.text)
    view = Population(consoled.world.definition, consoled.world.settings).view(["tenure_days"], users=True)
    tenure = pl.Series("tenure", view.values["tenure_days"])
    short = pl.DataFrame({"user": view.users, "tenure": tenure}).filter(pl.col("tenure") < 30)["user"].to_list()
    assert known, "somebody is known for less than the window"
    assert {name.strip() for name in known} <= set(short)
