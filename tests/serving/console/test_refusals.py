"""Errors of the console: in the language of the reader, and what is not is marked as what it is."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from features.errors import PropensityError
from serving.console.catalogue import LANGUAGES, catalogue
from serving.console.refusals import ConsoleError, shown_problem
from tests.serving.console.conftest import Consoled
from tests.serving.console.mounted import Mounted

KOREAN = {"accept-language": "ko-KR,ko;q=0.9"}
ENGLISH = re.compile(r"[A-Za-z]{3,} [a-z]{2,} [a-z]{2,}")


@pytest.fixture
def console(tmp_path: Path) -> Iterator[Mounted]:
    made = Mounted(tmp_path, auth="off")
    yield made
    made.close()


def words_of(page: str) -> str:
    """What the page says of the error, without code that is to be typed."""
    main = page.partition("<main")[2]
    return re.sub(r"<[^>]+>", " ", main)


@pytest.mark.parametrize(
    ("path", "korean"),
    [("no-such-page", "그런 페이지는 없습니다"), ("segments/no_such", "세그먼트가 없습니다"),
     ("segments/no_such/members", "세그먼트가 없습니다"), ("segments/no_such/draft", "초안이 없습니다"),
     ("segments/no_such/edit", "세그먼트가 없습니다"), ("segments/no_such/published", "게시된 적이 없습니다"),
     ("users/bm9ib2R5", "사용자가 없습니다"), ("cut-off?outcome=no_such", "가능성 결과가 없습니다"),
     ("sign-in/oidc", "OpenID Connect")],
)  # fmt: skip
def test_what_is_not_there_is_said_in_korean(console: Mounted, path: str, korean: str) -> None:
    page = console.client("http://localhost").get(f"/console/{path}", headers=KOREAN)
    assert page.status_code == 404, page.text
    assert korean in page.text
    assert not ENGLISH.search(words_of(page.text)), words_of(page.text)
    assert 'lang="en"' not in page.text


def test_forms_are_refused_in_korean(console: Mounted) -> None:
    client = console.client("http://localhost")
    form = client.get("/console/users", headers=KOREAN).text
    [csrf, *_] = re.findall(r'name="csrf" value="([^"]+)"', form)
    for path, sent, korean in (
        ("users", {"csrf": "no", "user_id": "ann"}, "양식"),
        ("users", {"csrf": csrf, "user_id": ""}, "사용자 id가 아닙니다"),
        ("users", {"csrf": csrf, "user_id": "a" * 300}, "256자까지"),
        ("edit-segment", {"csrf": csrf, "tree": "{"}, "규칙을 읽을 수 없습니다"),
        ("hand-off/no_such", {"csrf": csrf, "do": "pause"}, "전달 대상이 없습니다"),
        ("segments/repeat_buyer/download", {"csrf": csrf, "form": "exe"}, "형식이 없습니다"),
    ):
        answer = client.post(f"/console/{path}", data=sent, headers=KOREAN)
        assert answer.status_code in (400, 403, 404), path
        assert korean in answer.text, (path, words_of(answer.text))
        assert not ENGLISH.search(words_of(answer.text)), words_of(answer.text)


def test_from_another_machine_without_keys_it_is_said_in_korean(console: Mounted) -> None:
    page = console.client("http://elsewhere.example").get("/console/", headers=KOREAN)
    assert page.status_code == 403
    assert "이 컴퓨터에서만" in page.text


@pytest.mark.xdist_group("console")
def test_a_role_that_may_not_is_refused_in_korean(consoled: Consoled) -> None:
    visitor = consoled.visitor("viewer")
    page = visitor.get("/new-segment", **KOREAN)
    assert page.status_code == 403
    assert "권한" in visitor.text or "역할" in visitor.text
    assert not ENGLISH.search(words_of(page.text)), words_of(page.text)


def test_an_error_of_the_engine_stays_english_and_is_marked(console: Mounted, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise PropensityError("column 'a < b' is unknown.", fix="see the definition")

    monkeypatch.setattr("serving.console.kept.members.Members.page", broken)
    client = console.client("http://localhost")
    page = client.get("/console/segments/repeat_buyer/members", headers=KOREAN).text
    assert "서비스가 이 요청을 받아들이지 않았습니다" in page
    marked = re.search(r'<div lang="en">(.*?)</div>', page, re.S)
    assert marked is not None
    assert "column &#39;a &lt; b&#39; is unknown." in marked[1]
    english = client.get("/console/segments/repeat_buyer/members").text
    assert "<div>" in english
    assert "The service refused this" not in english


def test_every_language_has_the_same_error_with_the_same_status() -> None:
    error = ConsoleError("segments.unknown", 404, name="x", known="a, b")
    assert (error.status, error.code, error.message) == (404, "not_found", "There is no segment x.")
    for language in LANGUAGES:
        intro, found, spoken = shown_problem(error, catalogue(language))
        assert (intro, found.code, spoken) == ("", "not_found", language)
        assert "x" in found.error
        assert "a, b" in found.fix
