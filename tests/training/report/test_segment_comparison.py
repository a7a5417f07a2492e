"""Segments beside each other: what the page tells is what the log holds, and it is read without a network."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import roc_auc_score

from features.definition.columns import feature_set
from features.errors import EventLogError
from features.events.compacted import Compacted
from features.open_log import open_log
from features.system.progress import unseen
from features.time import DAY, to_datetime
from segments.rfm_cuts import load_cuts
from serving.model.registry.loader import Loader
from serving.scoring.reasons.wording import Wording
from serving.scoring.scorer import Scorer
from tests.conftest import World
from tests.serving.conftest import copy_of
from training.report.segment_comparison import EVERYBODY, Compared, auc_of, compare
from training.report.segment_plots import sizes
from training.report.segment_report import apart_in_words, charts, page

pytestmark = pytest.mark.xdist_group("comparison")


@pytest.fixture(scope="module")
def compared(world: World, tmp_path_factory: pytest.TempPathFactory) -> Compared:
    scorer = Scorer(world.definition, Loader(world.definition, world.settings).champions(),
                    load_cuts(world.definition, world.settings))  # fmt: skip
    log = open_log(world.definition, world.settings, ends=None, steps=unseen)
    return compare(log, world.definition, scorer, tmp_path_factory.mktemp("compared") / "rows")


@pytest.fixture(scope="module")
def events(world: World) -> pl.DataFrame:
    return pl.read_parquet(world.folder / "data/demo/events/*.parquet").unique("event_id")


def test_the_users_of_today_are_all_of_them(compared: Compared) -> None:
    rows = compared.at(compared.newest)
    assert len(rows) == 3_000
    assert compared.rows["cutoff"].n_unique() == 13
    sizes = compared.sizes("state").filter(pl.col("cutoff") == to_datetime(compared.newest))
    assert sizes["users"].sum() == 3_000
    inside = rows.filter(pl.col("segments").list.contains("repeat_buyer"))
    assert (inside["purchase_count_total"] >= 2).all()
    counted = compared.sizes("segments").filter(
        (pl.col("cutoff") == to_datetime(compared.newest)) & (pl.col("name") == "repeat_buyer")
    )
    assert counted["users"].item() == len(inside) > 0


def test_attributes_that_came_live_count(world: World, tmp_path: Path) -> None:
    copy = copy_of(world, tmp_path / "world")
    live, known = copy.settings.live("demo-shop"), datetime(2026, 2, 20, tzinfo=UTC)
    row = {"user": "u0000017", "known": known, "platform": "ios", "country": "FR", "plan": "sent live", "source": None}
    live.mkdir(parents=True, exist_ok=True)
    pl.DataFrame([row], schema_overrides={"source": pl.String}).write_parquet(live / "traits-0-1.parquet")
    Compacted(log="0" * 32, position=1, traits=("traits-0-1.parquet",)).save(live)
    log = open_log(copy.definition, copy.settings, ends=None, steps=unseen)
    rows = compare(log, copy.definition, Scorer(copy.definition, {}, None), tmp_path / "rows", share=0.2).rows
    mine = rows.filter(pl.col("user") == "u0000017").sort("cutoff")
    assert len(mine)
    assert mine["plan"].to_list() == ["sent live" if at > known else mine["plan"][0] for at in mine["cutoff"]]
    assert mine["plan"][0] != "sent live"


def test_flows_lead_from_where_they_were_to_where_they_are(compared: Compared) -> None:
    flows = compared.flows()
    now = dict(compared.at(compared.newest).group_by("state").len().iter_rows())
    assert dict(flows.group_by("after").agg(pl.col("users").sum()).iter_rows()) == now
    assert flows.filter(pl.col("before") == "not seen yet")["users"].sum() > 0


def test_what_became_of_them_is_what_the_log_holds(compared: Compared, events: pl.DataFrame) -> None:
    then = to_datetime(compared.matured)
    members = compared.members(compared.matured).filter(pl.col("segment") == "repeat_buyer")["user"]
    after = events.filter(pl.col("event_time") >= then)
    bought = after.filter((pl.col("event") == "purchase") & (pl.col("event_time") < then + timedelta(days=30)))
    spent = bought.filter(pl.col("user_id").is_in(members.implode()))["revenue"].sum() / len(members)
    found = compared.outcomes().filter(pl.col("segment") == "repeat_buyer").row(0, named=True)
    assert found["users"] == len(members)
    assert found["value"] == pytest.approx(spent, rel=1e-9)
    week = bought.filter(pl.col("event_time") < then + timedelta(days=7))["user_id"].unique()
    rows = compared.at(compared.matured).filter(pl.col("purchase_label").is_not_null())
    rows = rows.filter(pl.col("user").is_in(members.implode()))
    assert found["purchase"] == pytest.approx(rows["user"].is_in(week.implode()).mean())
    by = compared.by_trait("source")
    assert by["users"].sum() == compared.outcomes().filter(pl.col("segment") == EVERYBODY)["users"].item()


def test_what_is_expected_is_the_mean_of_what_is_said(compared: Compared) -> None:
    now = compared.at(compared.newest)
    found = {row["segment"]: row["spend"] for row in compared.expected().iter_rows(named=True)}
    assert found["everybody"] == pytest.approx(now["spend_amount"].drop_nulls().mean())
    buyers = now.filter(pl.col("segments").list.contains("repeat_buyer"))
    assert found["repeat_buyer"] == pytest.approx(buyers["spend_amount"].drop_nulls().mean())
    assert found["repeat_buyer"] > found["everybody"]


def test_tiers_stand_beside_states(compared: Compared) -> None:
    found = compared.tiers("churn")
    assert found["users"].sum() == 3_000
    assert found.filter(pl.col("state") == "churned")["tier"].to_list() == ["not_enough_to_say"]


def test_who_is_given_no_answer_is_reported_by_reason(compared: Compared) -> None:
    silent = compared.silent().filter(pl.col("outcome") == "churn")
    now = compared.at(compared.newest)
    assert silent["users"].sum() == (now["churn_tier"] == "not_enough_to_say").sum() > 0
    assert "outside_population" in silent["why"].to_list()
    caption = charts(compared, None)["tiers_churn"][0]
    assert f"churn: no answer for {silent['users'].sum():,} of 3,000 users:" in caption
    assert "not asked about (outside 'among')" in caption


def test_how_far_apart_is_the_area_under_the_curve() -> None:
    draw = np.random.default_rng(1)
    values, inside = draw.integers(0, 9, 500).astype(float), draw.random(500) < 0.3
    assert auc_of(values, inside) == pytest.approx(roc_auc_score(inside, values))


def test_what_most_of_either_side_has_not_sets_nobody_apart(compared: Compared) -> None:
    rows = compared.at(compared.newest)
    for segment in compared.definition.segments:
        inside = rows["segments"].list.contains(segment)
        for apart in compared.apart(segment):
            if apart.feature in feature_set(compared.definition).numeric:
                for side in (rows.filter(inside), rows.filter(~inside)):
                    assert side[apart.feature].null_count() < 0.5 * len(side), f"{segment}: {apart.feature}"
                assert "others: not known" not in apart_in_words(apart, Wording(compared.definition))


def test_every_segment_has_its_small_chart_and_no_axes_stand_empty(compared: Compared) -> None:
    weeks = compared.rows["cutoff"].n_unique()
    drawn = [chart.to_dict() for chart in sizes(compared)]
    assert {chart["title"]["text"].replace(" ", "_") for chart in drawn} == set(compared.definition.segments)
    for chart in drawn:
        [rows] = chart["datasets"].values()
        assert len(rows) == weeks
    for _, parts in charts(compared, "source").values():
        for part in parts:
            assert part.to_dict()["width"] <= 420, "wider ones could not be read on a phone, where they shrink"


def test_what_sets_a_segment_apart_is_not_its_own_rule(compared: Compared) -> None:
    found = compared.apart("repeat_buyer")
    assert found
    rule = compared.definition.segments["repeat_buyer"].when
    for apart in found:
        assert apart.feature not in rule
        assert abs(apart.auc - 0.5) >= 0.05
    assert [abs(a.auc - 0.5) for a in found] == sorted((abs(a.auc - 0.5) for a in found), reverse=True)


def test_the_page_is_whole_and_asks_for_nothing(compared: Compared) -> None:
    html = page(compared, trait="source")
    for name, (_, parts) in charts(compared, "source").items():
        for i in range(len(parts)):
            assert f'<div id="{name}-{i}"></div>' in html
    assert "had no visit within 14d" in html
    assert "did purchase" not in html
    before = html[: html.index("<script>")]
    assert not re.search(r"(src|href)=", before)
    for answer in ("changed their state", "repeat buyer", "of the others", "do</span>", "everybody"):
        assert answer in html
    for play in compared.definition.segments.values():
        assert play.about in html.replace("&#39;", "'")


def test_a_share_of_the_users_is_the_same_each_time(compared: Compared, world: World, tmp_path: Path) -> None:
    scorer = Scorer(world.definition, Loader(world.definition, world.settings).champions(),
                    load_cuts(world.definition, world.settings))  # fmt: skip
    log = open_log(world.definition, world.settings, ends=None, steps=unseen)
    some = compare(log, world.definition, scorer, tmp_path / "rows", share=0.2)
    users = some.rows["user"].unique()
    assert 450 < len(users) < 750
    assert set(some.at(some.newest)["user"]) <= set(compared.at(compared.newest)["user"])
    sizes = some.sizes("state").filter(pl.col("cutoff") == to_datetime(some.newest))
    assert 2_300 < sizes["users"].sum() < 3_700


def test_a_log_that_is_too_short_is_reported(world: World, tmp_path: Path) -> None:
    scorer = Scorer(world.definition, Loader(world.definition, world.settings).champions(), None)
    log = open_log(world.definition, world.settings, ends=None, steps=unseen)

    class Short:
        ends, first = log.ends, log.ends - 20 * DAY

    assert to_datetime(log.ends) == datetime(2026, 3, 1, tzinfo=UTC)
    with pytest.raises(EventLogError, match="shorter than the 35 days"):
        compare(Short(), world.definition, scorer, tmp_path)  # type: ignore[arg-type]
