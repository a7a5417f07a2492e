"""The members of a segment: all of them, each once, in pages of fifty, and no id where ids are hidden."""

import re
import shutil
from pathlib import Path

import polars as pl
import pytest

from features.settings import Settings
from serving.audience.population import Population
from serving.console.kept.members import KEPT, PAGE, Members
from serving.scoring.earlier.batch import scores_path
from tests.serving.console.conftest import Consoled
from tests.serving.console.mounted import Mounted
from tests.worlds import definition_of

SEGMENT = "repeat_buyer"


def batch(folder: Path, at: int, users: dict[str, tuple[list[str], list[str]]]) -> None:
    """Scores of users: the segments that each is in, and is held out of; in files of seven users."""
    path = scores_path(folder, at * 1_000_000)
    path.mkdir(parents=True)
    rows = pl.DataFrame(
        {"user_id": list(users), "segments": [inside for inside, _ in users.values()],
         "holdout": [held for _, held in users.values()]},
        schema_overrides={"segments": pl.List(pl.String), "holdout": pl.List(pl.String)},
    )  # fmt: skip
    for i, part in enumerate(rows.iter_slices(7)):
        part.write_parquet(path / f"part-{i:05d}.parquet")


def members_in(folder: Path) -> Members:
    return Members(folder, Population(definition_of(), Settings(home=folder)))


def all_of(members: Members, segment: str) -> list[tuple[str, bool]]:
    first = members.page(segment, 1)
    assert first is not None
    pages = [members.page(segment, number) for number in range(1, first.pages + 1)]
    return [(one.user, one.held_out) for page in pages if page is not None for one in page.members]


@pytest.mark.parametrize("count", [0, 1, PAGE - 1, PAGE, PAGE + 1, 3 * PAGE])
def test_every_member_is_on_one_page(tmp_path: Path, count: int) -> None:
    inside = {f"u{(i * 37) % 1_000:04d}": (["a"], ["a"] if i % 3 == 0 else ["b"]) for i in range(count)}
    batch(tmp_path, 1, inside | {f"x{i}": (["b"], []) for i in range(20)})
    found = all_of(members_in(tmp_path), "a")
    assert found == sorted((user, held == ["a"]) for user, (_, held) in inside.items())
    page = members_in(tmp_path).page("a", 99)
    assert page is not None
    assert page.total == count
    assert page.number == page.pages == max(1, -(-count // PAGE))


def test_a_newer_batch_and_an_erasure_are_noticed(tmp_path: Path) -> None:
    members = members_in(tmp_path)
    assert members.page("a", 1) is None
    batch(tmp_path, 1, {"ann": (["a"], []), "bob": (["a"], [])})
    assert [user for user, _ in all_of(members, "a")] == ["ann", "bob"]
    batch(tmp_path, 2, {"ann": (["a"], []), "eve": (["a"], [])})
    assert [user for user, _ in all_of(members, "a")] == ["ann", "eve"]
    shutil.rmtree(scores_path(tmp_path, 2_000_000))
    batch(tmp_path, 2, {"eve": (["a"], [])})
    assert [user for user, _ in all_of(members, "a")] == ["eve"]


def test_no_more_segments_are_in_memory_than_fit(tmp_path: Path) -> None:
    names = [f"s{i}" for i in range(KEPT + 3)]
    batch(tmp_path, 1, {"ann": (names, [])})
    members = members_in(tmp_path)
    for _ in range(2):
        assert [all_of(members, name) for name in names] == [[("ann", False)]] * len(names)
    assert len(members._kept) == KEPT


@pytest.mark.xdist_group("console")
def test_the_pages_hold_the_members_of_the_batch_and_mark_the_held_out(consoled: Consoled) -> None:
    visitor = consoled.visitor("read")
    scores = consoled.world.settings.scores(consoled.world.definition.name)
    found = pl.concat(pl.read_parquet(file) for file in sorted(scores.glob("scores-2026-03-01*/*.parquet")))
    inside = found.filter(pl.col("segments").list.contains(SEGMENT)).sort("user_id")
    shown: list[tuple[str, bool]] = []
    for number in range(1, -(-len(inside) // PAGE) + 1):
        page = visitor.get(f"/segments/{SEGMENT}/members?page={number}").text
        rows = re.findall(r'<li>\s*<a class="id" href="/console/users/([\w-]+)">([^<]+)</a>(.*?)</li>', page, re.S)
        assert all(user not in handle for handle, user, _ in rows)
        shown += [(user, "Held out" in rest) for _, user, rest in rows]
    held = inside["holdout"].list.contains(SEGMENT)
    assert len(shown) > PAGE
    assert shown == list(zip(inside["user_id"], held, strict=True))
    handle = re.findall(r'href="(/console/users/[\w-]+)"', page)[0]
    assert visitor.get(handle.removeprefix("/console")).status_code == 200


@pytest.mark.xdist_group("console")
@pytest.mark.parametrize("asked", ["0", "-1", "x", "99999999999999999999", "²", "1e3", ""])
def test_a_page_that_is_none_is_the_first_or_the_last(consoled: Consoled, asked: str) -> None:
    visitor = consoled.visitor("read")
    assert visitor.get(f"/segments/{SEGMENT}/members?page={asked}").status_code == 200
    assert "1 to 50 of" in visitor.text


@pytest.mark.xdist_group("console")
def test_the_segments_page_is_given_the_list_alone(consoled: Consoled) -> None:
    visitor = consoled.visitor("read")
    assert f'data-fragment="/console/segments/{SEGMENT}/members"' in visitor.get(f"/segments/{SEGMENT}").text
    assert "<html" not in visitor.get(f"/segments/{SEGMENT}/members", **{"x-fragment": "1"}).text
    assert visitor.get("/segments/no_such/members").status_code == 404


def test_who_may_not_see_ids_finds_none_on_the_pages(tmp_path: Path) -> None:
    way = {"console_user_header": "X-User", "console_groups_header": "X-Groups", "console_hide_ids": True,
           "console_roles": {"interns": "viewer", "marketing": "editor"}}  # fmt: skip
    console = Mounted(tmp_path, **way)
    batch(console.settings.scores("demo-shop"), 1, {f"secret-{i}": ([SEGMENT], []) for i in range(60)})
    address = f"/console/segments/{SEGMENT}/members?page=2"
    try:
        hidden = console.client().get(address, headers={"x-user": "ida", "x-groups": "interns"}).text
        seen = console.client().get(address, headers={"x-user": "ann", "x-groups": "marketing"}).text
    finally:
        console.close()
    assert "secret-" not in hidden
    assert hidden.count('class="id" href="/console/users/') == seen.count("secret-") == 10
