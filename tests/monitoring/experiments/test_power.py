"""What can be expected of an experiment, before anybody was assigned."""

from pathlib import Path

import polars as pl
import pytest

from features.time import DAY
from monitoring.experiments.power import power_of
from monitoring.statistics.effects.boundaries import always_valid, reach_of
from segments.power import smallest_effect
from segments.variants import trials
from serving.scoring.earlier.batch import scores_path
from tests.serving.activation.scenes import Scene, going_to

WINBACK = {"of": "segments.cart", "destination": "hook", "variants": {"nothing": 0.5, "mail": 0.3, "voucher": 0.2},
           "primary": "churn", "better": "less", "starts": "1971-01-01", "users": 1_000}  # fmt: skip


def scored(folder: Path, users: list[str], p: float) -> None:
    path = scores_path(folder, 101 * DAY)
    path.mkdir(parents=True)
    answer = pl.struct(pl.struct(pl.lit(p).alias("probability")).alias("churn")).alias("intent")
    pl.DataFrame({"user_id": users}).with_columns(answer).write_parquet(path / "part-00000.parquet")


def test_what_the_planned_users_can_show_and_when(tmp_path: Path) -> None:
    scene = Scene.set("sqlite://", {"hook": going_to("http://localhost/")}, experiments={"winback": WINBACK})
    [trial] = trials(scene.definition).values()
    scene.enter(*(f"v{i}" for i in range(70)))
    scene.enter(*(f"v{i}" for i in range(14)), cart=False)
    scored(tmp_path, [f"v{i}" for i in range(100)], 0.4)
    found = power_of(trial, scene.definition, scene.memberships, tmp_path, 102 * DAY)
    assert (found.inside, found.a_day, found.rate) == (56, 70 / 28, pytest.approx(0.4))
    reach = reach_of([0.2, 0.4, 0.6, 0.8, 1.0])
    wanted = {name: smallest_effect(users, 500, 0.4, reach=reach) for name, users in (("mail", 300), ("voucher", 200))}
    assert found.smallest == pytest.approx(wanted)
    one_look = smallest_effect(300, 500, 0.4) or 0
    assert one_look < (found.smallest["mail"] or 0) < 1.03 * one_look, "five looks cost little"
    assert (found.smallest["mail"] or 1) < (found.smallest["voucher"] or 0)
    assert found.full_on == trial.rule.starts + (400 + 14) * DAY, "1,000 users at 2.5 a day, then the horizon"
    assert (found.matures, found.arms) == (found.full_on, {"nothing": 500, "mail": 300, "voucher": 200})
    scene.close()


def test_where_more_is_wanted_it_is_a_rise(tmp_path: Path) -> None:
    wanted = WINBACK | {"better": "more"}
    scene = Scene.set("sqlite://", {"hook": going_to("http://localhost/")}, experiments={"winback": wanted})
    [trial] = trials(scene.definition).values()
    scene.enter(*(f"v{i}" for i in range(70)))
    scored(tmp_path, [f"v{i}" for i in range(100)], 0.1)
    found = power_of(trial, scene.definition, scene.memberships, tmp_path, 102 * DAY)
    reach = reach_of([0.2, 0.4, 0.6, 0.8, 1.0])
    assert found.smallest["mail"] == pytest.approx(smallest_effect(300, 500, 0.9, reach=reach))
    assert (found.smallest["mail"] or 0) > (smallest_effect(300, 500, 0.1, reach=reach) or 1), (
        "a rise adds variance, a fall takes some away"
    )
    scene.close()


def test_without_a_plan_it_is_of_those_inside_and_four_weeks_of_entries(tmp_path: Path) -> None:
    open_end = {key: value for key, value in WINBACK.items() if key != "users"}
    scene = Scene.set("sqlite://", {"hook": going_to("http://localhost/")}, experiments={"winback": open_end})
    [trial] = trials(scene.definition).values()
    scene.enter(*(f"v{i}" for i in range(100)))
    scored(tmp_path, [f"v{i}" for i in range(100)], 0.4)
    found = power_of(trial, scene.definition, scene.memberships, tmp_path, 400 * DAY)
    assert found.arms == {"nothing": 50, "mail": 30, "voucher": 20}, "nobody entered in the last four weeks"
    assert found.smallest["mail"] == smallest_effect(30, 50, 0.4, reach=always_valid(80))
    assert (smallest_effect(30, 50, 0.4) or 1) < 0.3, "in one look; at any time it takes more"
    assert found.matures == (400 + 28 + 14) * DAY
    assert found.full_on is None
    scene.close()


def test_what_is_not_known_is_not_guessed(tmp_path: Path) -> None:
    scene = Scene.set("sqlite://", {"hook": going_to("http://localhost/")}, experiments={"winback": WINBACK})
    [trial] = trials(scene.definition).values()
    found = power_of(trial, scene.definition, scene.memberships, tmp_path / "none", 102 * DAY)
    assert (found.inside, found.a_day, found.rate, found.full_on) == (0, 0, None, None)
    assert found.smallest == {"mail": None, "voucher": None}
    assert found.matures is None
    scene.close()
