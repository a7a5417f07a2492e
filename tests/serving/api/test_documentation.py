"""The page of the API: an example of every call that is true, and nothing that runs in it or comes from elsewhere."""

import importlib
import json
import re
import shlex
import warnings
from collections.abc import Iterator
from functools import partial
from html.parser import HTMLParser
from types import ModuleType
from urllib.parse import urlsplit

import httpx
import pytest
from pydantic import TypeAdapter

from propensity.client import Client
from serving.api.documentation.document import described
from serving.api.documentation.examples import ADDRESS, examples, pretty
from serving.api.documentation.page import rendered
from serving.api.documentation.routes import Pages
from serving.api.routes import answers, paths
from serving.scoring.online import ScoreResponse

SHAPES = {f"{method.upper()} {path}": shape for (path, method), shape in answers().items()}


def service() -> ModuleType:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of BentoML, while it is imported
        return importlib.import_module("serving.api.service")


def generated() -> dict:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of BentoML's own models
        return service().PropensityService.openapi_spec.asdict()


@pytest.fixture(scope="module")
def document() -> dict:
    return described(generated(), "shop@1234abcd")


@pytest.fixture(scope="module")
def page(document: dict) -> str:
    return rendered(document)


def calls(document: dict) -> Iterator[tuple[str, dict]]:
    for path, item in document["paths"].items():
        for method, call in item.items():
            yield f"{method.upper()} {path}", call


def samples(document: dict, label: str) -> Iterator[tuple[str, str]]:
    for name, call in calls(document):
        for sample in call["x-codeSamples"]:
            if sample["label"] == label:
                yield name, sample["source"]


def test_every_call_has_an_example_and_no_other(document: dict) -> None:
    assert {name for name, _ in calls(document)} == set(examples())


@pytest.mark.parametrize("name", sorted(examples()))
def test_an_answer_is_one_that_the_call_can_give(document: dict, name: str) -> None:
    shape = TypeAdapter(SHAPES.get(name, ScoreResponse))
    found = examples()[name].answer
    read = shape.validate_json(json.dumps(found))
    written = shape.dump_python(read, mode="json")
    assert _keys(written) == _keys(found), "an example shows every field"


def _keys(value: object) -> object:
    if isinstance(value, dict):
        return {key: _keys(one) for key, one in value.items()}
    return [_keys(one) for one in value] if isinstance(value, list) else None


def test_bodies_are_accepted() -> None:
    assert service().Asked.model_validate(examples()["POST /score"].body).reasons == 1
    assert examples()["POST /v1/{call}"].body["messageId"]


def test_every_property_and_parameter_is_described(document: dict) -> None:
    for name, schema in document["components"]["schemas"].items():
        assert schema["description"], name
        for field, one in schema.get("properties", {}).items():
            assert one.get("description"), f"{name}.{field}"
    for name, call in calls(document):
        assert call["summary"], name
        assert call["description"], name
        assert {p["name"] for p in call.get("parameters", []) if not p.get("description")} <= {"call"}


def test_a_line_of_curl_asks_for_a_path_that_there_is(document: dict) -> None:
    for name, source in samples(document, "curl"):
        words = shlex.split(source)
        method = words[words.index("-X") + 1] if "-X" in words else "GET"
        address = urlsplit(next(word for word in words if word.startswith(ADDRESS)))
        assert "{" not in address.path
        assert address.path == "/score" or any(
            p.pattern.match(address.path) and method in p.methods and f"{method} {p.template}" == name for p in paths()
        ), name
        if "-d" in words:
            assert json.loads(words[words.index("-d") + 1]) == examples()[name].body


def test_the_lines_of_python_make_the_call(document: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    """They run with a client that is answered with the examples."""
    known = {template: re.compile("^" + re.sub(r"\{\w+\}", "[^/]+", template) + "$") for template in document["paths"]}
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        [template] = [name for name, pattern in known.items() if pattern.match(request.url.path)]
        asked.append(f"{request.method} {template}")
        found = examples()[asked[-1]].answer
        if isinstance(found, dict) and "next" in found and "after" in request.url.params:
            found = found | {"next": None}
        return httpx.Response(200, json=found)

    monkeypatch.setattr("propensity.client.Client", partial(Client, transport=httpx.MockTransport(answer), tries=1))
    found = list(samples(document, "Python"))
    assert {name for name, _ in calls(document)} - {name for name, _ in found} == {"GET /segments"}
    for name, source in found:
        asked.clear()
        exec(compile(source, name, "exec"), {})  # noqa: S102 - that it runs is what is tested
        assert name.replace("experiments/{name}", "experiments") in asked


class Outline(HTMLParser):
    """What a page is made of."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.levels: list[int] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.attributes: set[str] = set()
        self.inline: list[str] = []
        self._in = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self._in = tag
        self.attributes |= set(given)
        self.levels += [int(tag[1])] if re.fullmatch("h[1-6]", tag) else []
        self.ids += [given["id"]] if "id" in given else []
        self.links += [value for name, value in attrs if name in ("href", "src", "action") and value]

    def handle_data(self, data: str) -> None:
        if self._in in ("script", "style") and data.strip():
            self.inline.append(data)


def test_the_page_holds_together_and_nothing_in_it_runs(page: str, document: dict) -> None:
    outline = Outline(page)
    assert outline.levels[0] == 1
    assert outline.levels.count(1) == 1
    assert all(later - former <= 1 for former, later in zip(outline.levels, outline.levels[1:], strict=False))
    assert len(outline.ids) == len(set(outline.ids))
    assert {link[1:] for link in outline.links if link.startswith("#")} <= set(outline.ids)
    elsewhere = [link for link in outline.links if not link.startswith("#")]
    assert sorted(elsewhere) == ["docs.json", "page/icon.svg", "page/style.css", "page/try.js"]
    assert outline.inline == []
    assert not {name for name in outline.attributes if name == "style" or name.startswith("on")}
    for name, call in calls(document):
        method, _, path = name.partition(" ")
        assert f"{method}</b> <code>{path}</code>" in page
        assert call["summary"] in page


def test_samples_name_the_address_that_was_asked_for_and_the_definition_that_is_served() -> None:
    pages = Pages(generated)
    address = 'https://scores.example/"<b>'
    assert "https://scores.example/&quot;&lt;b&gt;/models" in pages.page("shop@1", address)
    assert json.loads(pages.document("shop@1", address))["servers"] == [{"url": address}]
    assert ADDRESS not in pages.page("shop@1", address)
    assert "shop@2" in pages.page("shop@2", address)


def test_pretty_json_is_the_same_json() -> None:
    for example in examples().values():
        text = pretty(example.answer)
        assert json.loads(text) == example.answer
        assert max(map(len, text.splitlines())) < 250
    assert pretty([1, {"a": []}]) == '[1, {"a": []}]'
