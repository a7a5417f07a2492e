"""Truth tables: what they say now, and that each named instant is where real scoring flips, and none before it."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
import pytest

from features.events.events import Events
from features.expressions.values import Texts
from features.profile.fold import profiles_at
from features.profile.layout import H_VISIBLE, layout_of
from features.rows import FeatureRows
from features.time import DAY, HOUR, to_instant
from segments.evaluator import Evaluator
from serving.audience.truth.profile import Profile
from serving.audience.truth.table import HORIZON, Row, TruthTable, truth_table, truth_tables
from serving.scoring.feature_rows import batch_rows
from serving.scoring.scorer import Scorer
from tests.serving.audience.conftest import Batch
from tests.serving.ingest.scenes import BEGIN, Scene

#: conditions of every kind that time moves
RULES = [
    "days_since_visit >= 30 OR purchase_count_total >= 2",
    "days_since_visit >= 2 AND days_since_visit < 2.2",
    "visit_count_30d >= 1 AND visit_count_2h = 0",
    "purchase_count_60d = 0 AND tenure_days < 200",
    "visit_overdue > 2 AND visit_active_days_total >= 5",
    "visit_count_14d BETWEEN 1 AND 3",
    "state = 'at_risk'",
    "state IN ('dormant', 'churned')",
    "rfm_group IN ('Champions', 'Loyal Users') OR rfm_r <= 2",
    "visit_decayed_14d < 0.5 OR visit_silence_share > 0.5",
    "NOT (days_since_purchase < 20 AND days_since_cart_add < 60)",
    "segments.repeat_buyer",
    "visit_trend_7d < 0.5",
    "cart_open_days > 12.5",
]
OF_MODELS = [
    "churn_tier = 'most_likely'", "purchase_percentile < 40", "churn_percentile >= 80 AND days_since_visit < 20",
    "churn_probability IS NULL", "ready_to_buy_points < 0",
]  # fmt: skip


def profiles_of(batch: Batch, scorer: Scorer) -> list[Profile]:
    """The profiles of all users at the end of the log."""
    events, ends, plan = batch.log.events, batch.log.ends, [None, "gold", "free"]
    words = np.concatenate([some for _, some in profiles_at(events, ends, layout_of(scorer.definition))])
    return [
        Profile(user, words[[i]], {"plan": plan[i % 3]}, ends, ends)
        for i, user in enumerate(events.users.to_list()) if words[i, H_VISIBLE]
    ]  # fmt: skip


@pytest.fixture(scope="module")
def profiles(batch: Batch) -> list[Profile]:
    return profiles_of(batch, batch.scorer)


def seen_within(days: int, profiles: list[Profile], batch: Batch, count: int) -> list[Profile]:
    """Some users who did something lately."""
    here = [profile for profile in profiles if profile.words[0, H_VISIBLE] > batch.log.ends - days * DAY]
    return here[:: len(here) // count]


def real(batch: Batch, profile: Profile, scorer: Scorer, instants: list[int]) -> FeatureRows:
    """The rows that a batch folds of the log itself at instants."""
    events = batch.log.events
    at = events.users.to_list().index(profile.user)
    lo, hi = int(events.starts[at]), int(events.starts[at + 1])
    mine = Events(
        users=events.users[at : at + 1], starts=np.array([0, hi - lo]), t=events.t[lo:hi], ends=max(instants) + DAY,
        visible=events.visible[lo:hi], mask=events.mask[lo:hi], values=events.values[lo:hi],
    )  # fmt: skip
    columns = {name: [profile.traits.get(name)] for name in ("plan", "platform", "country", "source")}
    traits = pl.DataFrame({"user": [profile.user], **columns}, schema_overrides=dict.fromkeys(columns, pl.String))
    parts = [row for instant in instants for row in batch_rows(mine, scorer.definition, instant, traits)]
    assert [len(part) for part in parts] == [1] * len(instants)
    return replace(
        parts[0], users=pl.concat([p.users for p in parts]), cutoffs=np.concatenate([p.cutoffs for p in parts]),
        matrix=np.vstack([p.matrix for p in parts]),
        traits={name: Texts.of([p.traits[name].at(0) for p in parts]) for name in parts[0].traits},
    )  # fmt: skip


def each(row: Row) -> Iterator[Row]:
    yield row
    for part in row.of:
        yield from each(part)


def holds(rows: FeatureRows, scorer: Scorer, sql: str) -> list[bool]:
    """What real scoring says."""
    evaluator = Evaluator({"": sql})
    scored = scorer.score(rows, rows.cutoffs)
    found: list[bool] = evaluator.holds(scored.values(evaluator.columns), len(rows))[:, 0].tolist()
    return found


def prove(profile: Profile, batch: Batch, scorer: Scorer, sql: str, *, step: int) -> int:
    """Check a user's table against real scoring; returns how many flips it names."""
    return check(truth_table(profile, scorer, sql), profile, batch, scorer, step=step)


def check(table: TruthTable, profile: Profile, batch: Batch, scorer: Scorer, *, step: int) -> int:
    """Check every row of a table; returns how many flips it names."""
    named, start = 0, profile.as_of
    for row in each(table.row):
        at = None if row.flips_at is None else to_instant(row.flips_at)
        until = start + HORIZON if at is None else at - 1
        before = sorted({start, *range(start, until, step), until})
        was = holds(real(batch, profile, scorer, before), scorer, row.sql)
        assert was == [row.met is True] * len(before), (profile.user, row.sql, at)
        if at is not None:
            named += 1
            assert start < at <= start + HORIZON
            assert holds(real(batch, profile, scorer, [at]), scorer, row.sql) == [row.met is not True]
    return named


@pytest.mark.parametrize("sql", RULES)
def test_a_flip_is_where_real_scoring_flips_and_nothing_flips_before(
    sql: str, profiles: list[Profile], batch: Batch
) -> None:
    some = seen_within(14, profiles, batch, 6)
    assert sum(prove(profile, batch, batch.scorer, sql, step=12 * HOUR) for profile in some) >= 1


@pytest.mark.parametrize("sql", OF_MODELS)
def test_flips_of_what_models_say(sql: str, profiles: list[Profile], batch: Batch) -> None:
    some = seen_within(3, profiles, batch, 4)
    assert sum(prove(profile, batch, batch.scorer, sql, step=DAY) for profile in some) >= 1


def test_every_segment_of_some_users_at_once(profiles: list[Profile], batch: Batch) -> None:
    rules = {name: rule.when for name, rule in batch.world.definition.segments.items()}
    for profile in seen_within(9, profiles, batch, 2):
        tables = truth_tables(profile, batch.scorer, rules)
        assert list(tables) == list(rules)
        for table in tables.values():
            check(table, profile, batch, batch.scorer, step=3 * DAY)
    assert truth_tables(profiles[0], batch.scorer, {}) == {}


@pytest.mark.parametrize("zone", ["America/New_York", "Asia/Kolkata"])
def test_windows_of_another_time_zone_end_at_its_midnight(zone: str, batch: Batch) -> None:
    """The clocks of New York change on 8 March."""
    definition = batch.world.definition.model_copy(update={"timezone": zone})
    scorer, named = Scorer(definition, {}, batch.scorer.rfm), 0
    for profile in profiles_of(batch, scorer)[::500]:
        for sql in ("visit_count_30d >= 1 AND visit_count_7d <= 2", "visit_count_14d BETWEEN 1 AND 3"):
            named += prove(profile, batch, scorer, sql, step=12 * HOUR)
            for row in each(truth_table(profile, scorer, sql).row):
                at = row.flips_at.astimezone(ZoneInfo(zone)) if row.flips_at is not None else None
                assert at is None or (at.hour, at.minute, at.second, at.microsecond) == (0, 0, 0, 0)
    assert named > 3


def test_a_stored_profile_says_the_same(tmp_path: Path) -> None:
    scene = Scene.set(tmp_path)
    scorer = Scorer(scene.definition, {}, None)
    profile = Profile.stored(scene.online, "u001", BEGIN)
    assert profile is not None
    assert (profile.user, profile.as_of, profile.traits) == ("u001", BEGIN, {"plan": "pro", "country": None})
    assert Profile.stored(scene.online, "nobody", BEGIN) is None
    early = Profile.stored(scene.online, "u001", BEGIN - 80 * DAY)
    assert early is not None
    assert BEGIN - 80 * DAY < early.as_of <= BEGIN, "right after what the profile has seen"
    table = truth_table(profile, scorer, "plan = 'pro' AND days_since_visit < 14", horizon=30 * DAY)
    last = table.row.of[1]
    assert last.met is True
    days = last.values["days_since_visit"]
    assert isinstance(days, float)
    assert last.flips_at is not None
    assert (last.flips_at - table.as_of) / timedelta(days=1) == pytest.approx(14 - days, abs=1e-9)
    assert table.row.flips_at == last.flips_at
    assert table.row.of[0].flips_at is None


def test_what_a_row_says(profiles: list[Profile], batch: Batch) -> None:
    profile = profiles[0]
    table = truth_table(profile, batch.scorer, "visit_count_30d >= 2 AND (plan = 'gold' OR tenure_days > 100000)")
    first, second = table.row.of
    assert (table.user, to_instant(table.as_of)) == (profile.user, batch.log.ends)
    assert table.until - table.as_of == timedelta(days=90)
    assert (first.words, first.threshold) == ("did visit at least 2 times in the last 30 days", 2.0)
    assert first.met == ((first.values["visit_count_30d"] or 0) >= 2)  # type: ignore[operator]
    assert second.words == "any of these"
    assert [row.met for row in second.of] == [None, False]
    assert second.of[0].values == {"plan": None}
    assert second.of[0].threshold == ("gold",)
    assert (second.met, second.flips_at, second.of[1].flips_at) == (None, None, None)
