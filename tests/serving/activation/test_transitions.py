"""Scorings of a trained world, batch and live, become moves; audiences and commands tell of them."""

import json
import shutil
import sys
from collections.abc import Iterator
from datetime import datetime
from functools import partial

import polars as pl
import pytest

from features.errors import PropensityError
from features.reading.live_messages import Message
from features.time import DAY, HOUR, to_instant
from serving.activation.audience_export import dimension_of, export
from serving.activation.live_transitions import LiveTransitions
from serving.activation.memberships import Memberships
from serving.activation.transitions import TransitionRecorder
from serving.database.log.live_log import LiveLog
from serving.ingest.worker import Worker
from serving.model.registry.loader import Loader
from serving.scoring.online import Answers
from tests.conftest import World
from tests.serving.activation.scenes import Hands
from tests.serving.conftest import unscored_copy_of

pytestmark = pytest.mark.xdist_group("recorder")

PROPENSITY = (sys.executable, "-m", "propensity")
END = to_instant(datetime.fromisoformat("2026-03-01T00:00:00Z"))


@pytest.fixture(scope="module")
def moved(world: World, tmp_path_factory: pytest.TempPathFactory) -> World:
    """A world after two batches, nine days apart."""
    copy = unscored_copy_of(world, tmp_path_factory.mktemp("moved") / "world")
    for words in (("--as-of", "2026-02-20"), ()):
        done = copy.run(*PROPENSITY, "score", *words)
        assert done.returncode == 0, done.stderr
    return copy


@pytest.fixture
def memberships(moved: World) -> Iterator[Memberships]:
    live = LiveLog.open(moved.definition, moved.settings)
    yield Memberships(moved.definition, live, Hands(END))
    live.close()


def records(world: World, day: str) -> pl.DataFrame:
    return pl.read_parquet(world.settings.scores("demo-shop") / f"scores-{day}T000000Z.parquet").sort("user_id")


def test_moves_lead_from_one_batch_to_the_next(moved: World, memberships: Memberships) -> None:
    before, after = records(moved, "2026-02-20"), records(moved, "2026-03-01")
    was = dict(before.select("user_id", "state").iter_rows())
    state = {user: was.get(user) for user in after["user_id"]}
    for move in memberships.history(dimension="states", limit=100_000):
        assert move.before == was.get(move.user)
        state[move.user] = move.after
    assert state == dict(after.select("user_id", "state").iter_rows())
    causes = {(m.dimension, m.cause) for m in memberships.history(limit=100_000)}
    assert {("states", "behaviour"), ("states", "time")} <= causes
    assert "new_model" not in {cause for _, cause in causes}
    champions = {m.version: m for m in Loader(moved.definition, moved.settings).champions().values()}
    named = {name for move in memberships.history(limit=100_000) for name in move.models.values()}
    assert named == {f"{version}@{str(model.card_digest)[:12]}" for version, model in champions.items()}
    seen = dict(after.select("user_id", "last_seen").iter_rows())
    knew, knows = (dict(r.select("user_id", "evidence").iter_rows()) for r in (before, after))
    late = 0
    for move in memberships.history(dimension="states", limit=100_000):
        acted = seen[move.user] >= datetime.fromisoformat("2026-02-20T00:00:00Z")
        assert move.cause == ("behaviour" if knew.get(move.user) != knows[move.user] else "time")
        assert move.cause == "behaviour" or not acted
        late += move.cause == "behaviour" and not acted
    assert late < 0.1 * len(after), "few events arrive late"


def test_the_scores_of_before_are_those_of_the_batch_before(moved: World, memberships: Memberships) -> None:
    churn = pl.col("intent").struct.field("churn").struct.field("probability")
    before, after = (
        dict(records(moved, day).select("user_id", churn).iter_rows()) for day in ("2026-02-20", "2026-03-01")
    )
    for move in memberships.history(dimension="states", limit=300):
        assert move.scores_before.get("churn") == pytest.approx(before.get(move.user), abs=1e-6)
        assert move.scores_after.get("churn") == pytest.approx(after.get(move.user), abs=1e-6)


def test_scoring_again_moves_nobody(moved: World) -> None:
    done = moved.run(*PROPENSITY, "score")
    assert "0 transitions between" in done.stdout
    done = moved.run(*PROPENSITY, "score", "--as-of", "2026-02-01")
    assert "a later batch has recorded them already" in done.stdout
    shutil.rmtree(moved.settings.scores("demo-shop") / "scores-2026-02-01T000000Z.parquet")


def test_a_cart_is_entered_live_and_left_when_a_day_is_over(moved: World) -> None:
    live = LiveLog.open(moved.definition, moved.settings)
    clock = Hands(END + 9 * HOUR)
    memberships, answers = Memberships(moved.definition, live, clock), Answers(moved.definition, moved.settings)
    recorder = TransitionRecorder(moved.definition, memberships, moved.settings.scores("demo-shop"))
    moves = LiveTransitions(answers, memberships, recorder, clock)
    worker = Worker(moved.definition, moved.settings, live, clock, moves)
    live.append([Message("live-1", "u0000055", "track", "add_to_cart", clock.at - 1, clock.at, {})])
    while worker.step():
        pass
    moves.look()
    history = memberships.history(user="u0000055", dimension="segments.cart_abandoned_24h")
    assert [(m.after, m.cause, m.at) for m in history] == [("in", "behaviour", clock.at)]
    clock.at += 23 * HOUR
    moves.look()
    assert len(memberships.history(user="u0000055", dimension="segments.cart_abandoned_24h")) == 1
    clock.at = END + 9 * HOUR + DAY + 1
    moves.look()
    *_, left = memberships.history(user="u0000055", dimension="segments.cart_abandoned_24h")
    assert (left.before, left.after, left.cause, left.at) == ("in", None, "time", clock.at)
    worker._leases.give_back()
    worker.close()
    live.close()


class Killed(LiveTransitions):
    """Is killed before it looks at anybody."""

    def look(self) -> int:
        return 1


def test_a_transition_is_found_though_the_worker_is_killed_before_it_looks(moved: World) -> None:
    live = LiveLog.open(moved.definition, moved.settings)
    clock = Hands(END + 36 * HOUR)
    memberships, answers = Memberships(moved.definition, live, clock), Answers(moved.definition, moved.settings)
    recorder = TransitionRecorder(moved.definition, memberships, moved.settings.scores("demo-shop"))

    def works(kind: type[LiveTransitions]) -> None:
        """A worker of its own, which folds what waits and ends."""
        moves = kind(answers, memberships, recorder, clock)
        worker = Worker(moved.definition, moved.settings, live, clock, moves)
        while worker.step():
            pass
        worker._leases.give_back()
        worker.close()

    works(LiveTransitions)
    live.append([Message("killed-1", "killed", "track", "add_to_cart", clock.at - 1, clock.at, {})])
    works(Killed)
    cart = partial(memberships.history, user="killed", dimension="segments.cart_abandoned_24h")
    assert cart() == [], "folded, and not looked at yet"
    works(LiveTransitions)
    assert [(m.after, m.cause) for m in cart()] == [("in", "behaviour")]
    live.close()


def test_a_late_event_is_the_cause_of_the_move_it_makes(moved: World) -> None:
    """An order that happened before the last look, and arrived after it, is what the user did; time did nothing."""
    live = LiveLog.open(moved.definition, moved.settings)
    clock = Hands(END + 40 * HOUR)
    memberships, answers = Memberships(moved.definition, live, clock), Answers(moved.definition, moved.settings)
    moves = LiveTransitions(
        answers,
        memberships,
        TransitionRecorder(moved.definition, memberships, moved.settings.scores("demo-shop")),
        clock,
    )
    worker = Worker(moved.definition, moved.settings, live, clock, moves)
    minute = HOUR // 60

    def happens(number: int, event: str, ago: int, **body: object) -> None:
        live.append([Message(f"late-{number}", "late-order", "track", event, clock.at - ago, clock.at, dict(body))])
        while worker.step():
            pass
        moves.look()

    happens(1, "add_to_cart", 1)
    clock.at += 10 * minute
    happens(2, "app_open", 1)
    clock.at += minute
    happens(3, "purchase", 2 * minute, revenue=20.0)
    history = memberships.history(user="late-order", dimension="segments.cart_abandoned_24h")
    assert [(m.after, m.cause) for m in history] == [("in", "behaviour"), (None, "behaviour")]
    clock.at += minute
    happens(4, "add_to_cart", 2)
    clock.at += 25 * HOUR
    moves.look()
    history = memberships.history(user="late-order", dimension="segments.cart_abandoned_24h")
    assert [m.cause for m in history][3:] == ["time"]
    worker.close()
    live.close()


def test_an_audience_is_exported_whole_and_as_what_changed(moved: World, memberships: Memberships) -> None:
    folder, scores = moved.folder / "kept", moved.settings.scores("demo-shop")

    def exported(name: str, form: str, **how: bool) -> pl.DataFrame:
        path = moved.folder / f"audience.{form}"
        how = {"changes": False, "with_holdout": False} | how
        export(moved.definition, memberships, scores, folder, name, path, form, **how)  # type: ignore[arg-type]
        return {"csv": pl.read_csv, "parquet": pl.read_parquet, "jsonl": pl.read_ndjson}[form](path)

    everybody = exported("states.at_risk", "parquet", with_holdout=True)
    reported = {user for user, membership in memberships.everybody() if membership.held["states"][0] == "at_risk"}
    assert set(everybody["user_id"]) == reported
    held = everybody["holdout"].mean()
    assert isinstance(held, float)
    assert 0.01 < held < 0.12
    assert {"state", "churn_tier", "churn_probability", "rfm_group"} <= set(everybody.columns)
    for form in ("csv", "jsonl", "parquet"):
        assert set(exported("states.at_risk", form)["user_id"]) == set(everybody.filter(~pl.col("holdout"))["user_id"])
    assert exported("states.at_risk", "parquet", changes=True).is_empty()
    kept = pl.read_parquet(folder / "states.at_risk.parquet")
    pl.concat([kept[3:], pl.DataFrame({"user": ["gone"], "holdout": [False]})]).write_parquet(
        folder / "states.at_risk.parquet"
    )
    changed = exported("states.at_risk", "parquet", changes=True).sort("user_id")
    assert changed.filter(pl.col("since_last") == "left")["user_id"].to_list() == ["gone"]
    assert set(changed.filter(pl.col("since_last") == "entered")["user_id"]) == set(kept["user"][:3])


@pytest.mark.parametrize("name", ["nobody", "states.nowhere", "tiers.churn", "tiers.nothing.most_likely", "rfm."])
def test_audiences_that_are_none_are_named(world: World, name: str) -> None:
    with pytest.raises(PropensityError, match="there is no audience"):
        dimension_of(world.definition, name)


@pytest.mark.long
def test_the_commands_tell_of_moves_audiences_and_sizes(moved: World) -> None:
    done = moved.run(*PROPENSITY, "transitions", "--dimension", "states")
    assert done.returncode == 0, done.stderr
    for answer in ("at_risk", "behaviour", "time"):
        assert answer in done.stdout
    user = (
        Memberships(moved.definition, LiveLog.open(moved.definition, moved.settings), Hands(END))
        .history(limit=1)[0]
        .user
    )
    done = moved.run(*PROPENSITY, "transitions", "--user", user)
    assert "→" in done.stdout
    path = moved.folder / "out.jsonl"
    done = moved.run(*PROPENSITY, "audience", "repeat_buyer", "--format", "jsonl", "--to", str(path))
    assert done.returncode == 0, done.stderr
    assert json.loads(path.read_text().splitlines()[0])["holdout"] is False
    assert "are held out" in done.stdout
    done = moved.run(*PROPENSITY, "audience", "loyal_but_not_buying", "--changes")
    assert done.returncode == 2
    assert "was never exported" in done.stderr
    done = moved.run(*PROPENSITY, "holdout")
    assert "20% seen by" in done.stdout
    assert "2026-03-18" in done.stdout, "uninstalls are known 17 days after"
    done = moved.run(*PROPENSITY, "handoff", "status")
    assert "Destinations of demo-shop" in done.stdout
    done = moved.run(*PROPENSITY, "handoff", "resync", "nowhere")
    assert "there is no destination 'nowhere'" in done.stderr
