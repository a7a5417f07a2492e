"""The command that publishes KPIs, and the call that serves them."""

import json
from pathlib import Path

import anyio
import polars as pl
import pytest

from serving.published.kpis import Kpis, published
from tests.conftest import World
from tests.propensity.logs import case_with, daily, rows_of
from tests.propensity.programs import Program
from tests.serving.conftest import copy_of
from tests.serving.desks import asking, desk, opening_of


@pytest.fixture
def mine(untrained_world: World, tmp_path: Path) -> World:
    return copy_of(untrained_world, tmp_path / "w")


def refusal(program: Program, world: World, *options: str) -> str:
    done = program(world, "kpis", *options)
    assert done.code == 2, done.out
    return " ".join(done.err.split())


def test_what_is_published_is_what_is_shown_and_served(
    mine: World, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    for day in ("2026-02-20", "2026-02-27"):
        done = program(mine, "score", "--as-of", day)
        assert done.code == 0, done.err
    folder = mine.settings.monitoring(mine.definition.name)
    done = program(mine, "kpis", "--by", "month", "--json")
    assert done.code == 0, done.err
    found = published(folder)
    assert isinstance(found, Kpis)
    assert json.loads(done.out) == json.loads((folder / "kpis.json").read_text())
    # an oracle that knows nothing of ours
    log = pl.read_parquet(mine.folder / "data" / "demo" / "events" / "*.parquet")
    visits = log.filter(pl.col("event").is_in(["app_open", "view_item", "search"]),
                        ~pl.col("user_id").str.starts_with("test-")).unique("event_id")  # fmt: skip
    months = dict(
        visits.group_by(pl.col("event_time").dt.strftime("%Y-%m-01")).agg(pl.col("user_id").n_unique()).rows()
    )
    assert {str(one.starts): one.active for one in found.groups[0].periods} == months
    members = {one.name: one.members for one in found.groups[1:]}
    assert members["repeat_buyer"] == next(
        one.days[-1].size for one in found.audiences if one.name == "segments.repeat_buyer"
    )
    tables = pl.read_parquet(folder / "kpis.periods.parquet")
    assert tables.filter(group="everybody")["active"].to_list() == [p.active for p in found.groups[0].periods]
    page = (folder / "kpis.html").read_text()
    assert "vegaEmbed(" in page
    assert "repeat buyer" in page
    assert 'src="http' not in page, "it is read without a network"

    async def ask() -> list[dict[str, list[dict[str, object]]]]:
        async with asking(monkeypatch, opening_of(lambda: desk(monitoring=folder, definition=mine.definition))) as api:
            return [(await api.get(url)).json() for url in ("/kpis", "/kpis?segment=repeat_buyer")]

    whole, only = anyio.run(ask)
    assert whole == json.loads(done.out)
    assert [one["name"] for one in only["groups"]] == ["repeat_buyer"]
    assert [one["name"] for one in only["audiences"]] == ["segments.repeat_buyer"]


def test_one_segment_is_shown_and_all_are_published(mine: World, program: Program) -> None:
    assert program(mine, "score").code == 0
    done = program(mine, "kpis", "--segment", "repeat_buyer", "--since", "2026-01-01")
    assert done.code == 0, done.err
    assert "users who are in repeat_buyer now, from 2026-01-01 to 2026-02-28" in " ".join(done.out.split())
    found = published(mine.settings.monitoring(mine.definition.name))
    assert found is not None
    assert found.groups[0].name == "everybody"
    assert "nobody is in it" in refusal(program, mine, "--segment", "leave_in_peace")


def test_without_scores_there_is_everybody(mine: World, program: Program) -> None:
    done = program(mine, "kpis", "--json")
    assert done.code == 0, done.err
    content = json.loads(done.out)
    assert [one["name"] for one in content["groups"]] == ["everybody"]
    assert content["audiences"] == []
    words = refusal(program, mine, "--segment", "repeat_buyer")
    assert "not known before the first batch of scores" in words
    assert "propensity score" in words


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--segment", "carts"], ["'carts'", "is not a segment", "cart_abandoned_24h"]),
        (["--by", "year"], ["'year'", "day, week, month"]),
        (["--since", "soon"], ["'soon' is not a day", "write 2026-03-01"]),
        (["--since", "2026-03-01"], ["--since 2026-03-01 is after 2026-02-28", "earlier day"]),
        (["--ends", "2000-01-01"], ["no event is left"]),
    ],
)
def test_what_cannot_be_is_refused_with_its_value_and_a_remedy(
    mine: World, program: Program, options: list[str], words: list[str]
) -> None:
    shown = refusal(program, mine, *options)
    assert all(word in shown for word in words), shown
    assert published(mine.settings.monitoring(mine.definition.name)) is None


def test_a_damaged_file_is_named_with_its_remedy(mine: World, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = mine.settings.monitoring(mine.definition.name)
    folder.mkdir(parents=True)
    (folder / "kpis.json").write_text('{"definition": ')

    async def ask() -> tuple[int, str]:
        async with asking(monkeypatch, opening_of(lambda: desk(monitoring=folder))) as api:
            answer = await api.get("/kpis")
            return answer.status_code, answer.text

    status, text = anyio.run(ask)
    assert status == 500
    assert "propensity kpis writes it again" in text


def test_a_log_of_many_years_has_a_page(tmp_path: Path, program: Program) -> None:
    days = 1_700  # with three lines in a picture: more points than Altair draws by itself
    case_with(tmp_path, rows_of(daily(days)), ends="2030-07-15T00:00:00Z")
    world = World.at(tmp_path)
    done = program(world, "kpis", "--by", "month")
    assert done.code == 0, done.err
    page = (world.settings.monitoring(world.definition.name) / "kpis.html").read_text()
    assert page.count('"daily"') >= days
