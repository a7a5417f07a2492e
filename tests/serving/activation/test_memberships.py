"""The memberships, in SQLite and in a real PostgreSQL: every move once, with its cause, together with its messages."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from features.time import DAY, HOUR
from segments.transitions.membership import IN, Observation
from serving.activation.memberships import LEASE, Memberships
from serving.database.log.live_log import LiveLog
from serving.database.schema import connect
from tests.serving.activation.scenes import Scene, going_to

HOOK = {"hook": going_to("http://127.0.0.1:9/")}


def test_the_first_batch_moves_nobody(set_scene: Callable[..., Scene], address: str) -> None:
    scene = set_scene(HOOK, address)
    assert scene.memberships.history() == []
    assert scene.memberships.summaries()["summary"].to_list() == ["states=active"] * 5


def test_a_move_is_kept_once_with_what_was_said_before(set_scene: Callable[..., Scene], address: str) -> None:
    scene = set_scene(HOOK, address)
    assert len(scene.enter("u1", "new")) == 3, "who is new enters a state, too"
    assert scene.enter("u1", "new") == []
    [moved] = scene.memberships.history(user="u1")
    assert (moved.dimension, moved.before, moved.after, moved.cause) == ("segments.cart", None, IN, "time")
    assert (moved.scores_before, moved.scores_after) == ({"churn": 0.1}, {"churn": 0.2})
    assert moved.models == {"churn": "churn/1"}
    assert [m.user for m in scene.memberships.history(dimension="segments.cart")] == ["u1", "new"]
    assert scene.memberships.history(after=moved.id, dimension="segments.cart")[0].user == "new"
    assert scene.memberships.history(since=scene.clock.at + 1) == []
    assert scene.memberships.outbox.status()["waiting"].to_list() == [2]


def test_a_user_is_not_moved_back_by_an_earlier_scoring(set_scene: Callable[..., Scene], address: str) -> None:
    scene = set_scene(HOOK, address)
    scene.enter("u1")
    assert scene.say({"u1": {"states": "silent"}}, at=scene.clock.at - HOUR) == []
    found = scene.memberships.user("u1")
    assert found is not None
    assert set(found.held) == {"states", "segments.cart"}


def test_two_that_look_at_the_same_users_at_once_move_them_once(set_scene: Callable[..., Scene], address: str) -> None:
    scene = set_scene(HOOK, address)
    users = [f"v{i:03d}" for i in range(200)]
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda i: scene.enter(*users[i % 4 * 20 :]), range(16)))
    assert sum(len(found) for found in made) == 2 * len(users)
    kept = scene.memberships.history(dimension="segments.cart")
    assert sorted(t.user for t in kept) == users
    assert scene.memberships.outbox.status()["waiting"].to_list() == [len(users)]


def test_what_is_due_is_reported_to_one(set_scene: Callable[..., Scene], address: str) -> None:
    scene = set_scene(HOOK, address)
    values = {"states": "active", "segments.cart": IN}
    for user, hours in (("u1", 3), ("u2", 1), ("u3", 30)):
        one = Observation(user, scene.clock.at, values, frozenset(), {}, 0)
        due = {user: scene.clock.at + hours * HOUR}
        scene.memberships.record([one], scene.finder, scene.memberships.last(), lambda _: {}, due=due)
    scene.clock.at += 4 * HOUR
    assert scene.memberships.take_due(10) == ["u2", "u1"]
    assert scene.memberships.take_due(10) == []
    scene.memberships.not_due(["u1", "u2"])
    scene.clock.at += 2 * DAY
    assert scene.memberships.take_due(10) == ["u3"]


def test_who_is_due_is_given_out_again_where_nobody_recorded_what_they_are(
    set_scene: Callable[..., Scene], address: str
) -> None:
    scene = set_scene(HOOK, address)
    values = {"states": "active", "segments.cart": IN}

    def look(user: str, due: dict[str, int]) -> None:
        one = Observation(user, scene.clock.at, values, frozenset(), {}, 0)
        scene.memberships.record([one], scene.finder, scene.memberships.last(), lambda _: {}, due=due)

    for user in ("u1", "u2"):
        look(user, {user: scene.clock.at + HOUR})
    scene.clock.at += 2 * HOUR
    assert scene.memberships.take_due(10) == ["u1", "u2"]
    look("u2", {})
    scene.clock.at += LEASE - 1
    assert scene.memberships.take_due(10) == []
    scene.clock.at += 1
    assert scene.memberships.take_due(10) == ["u1"], "who took it was killed"
    look("u1", {})
    scene.clock.at += DAY
    assert scene.memberships.take_due(10) == []


def test_an_erased_user_is_forgotten_and_their_leaving_told(set_scene: Callable[..., Scene], address: str) -> None:
    scene = set_scene(HOOK, address)
    scene.enter("u1", "u2")
    gone = scene.memberships.erase(["u1"])
    assert gone == {"memberships": 1, "transitions": 1, "outbox": 1, "arms of the holdout": 0, "arms of experiments": 0}
    left = {"live events": 0, "ids of pruned events": 0, "live answers": 0, "dead letters": 0, "memberships": 0,
            "transitions": 0, "outbox": 0, "arms of the holdout": 0, "arms of experiments": 0}  # fmt: skip
    assert scene.memberships.left(["u1"]) == left, "but for the message that tells of it"
    claimed = scene.memberships.outbox.claim("hook", "me", 10)
    assert claimed is not None
    reported = [(body["user_id"], body["before"], body["after"], body["cause"]) for body in claimed.bodies]
    assert reported == [("u2", None, IN, "time"), ("u1", IN, None, "erased")]
    assert scene.memberships.erase(["u1"])["outbox"] == 1, "what still waits of them goes with the next erasure"


def test_who_is_erased_stays_out(set_scene: Callable[..., Scene], address: str) -> None:
    scene = set_scene(HOOK, address)
    scene.memberships.live.erase(["u9"])
    assert scene.enter("u9") == []
    assert scene.memberships.user("u9") is None


def test_held_out_users_move_and_are_not_sent(set_scene: Callable[..., Scene], address: str) -> None:
    scene = set_scene(HOOK, address, transitions={"holdout": 0.5})
    users = [f"v{i:03d}" for i in range(100)]
    scene.enter(*users)
    assert len(scene.memberships.history(dimension="segments.cart")) == 100
    waiting = scene.memberships.outbox.status()["waiting"][0]
    assert 30 < waiting < 70


def test_another_process_sees_the_same(set_scene: Callable[..., Scene], address: str) -> None:
    scene = set_scene(HOOK, address)
    scene.enter("u1")
    other = LiveLog(connect(scene.memberships.live.engine.url.render_as_string(hide_password=False)))
    memberships = Memberships(scene.definition, other, scene.clock)
    assert memberships.history() == scene.memberships.history()
    assert memberships.last() == scene.memberships.last()
    flows = memberships.flows().row(0, named=True)
    assert flows == {"dimension": "segments.cart", "before": None, "after": IN, "cause": "time", "users": 1}
    other.close()
