"""Populations: treated, held out, or neither, by the transitions that were recorded."""

from collections.abc import Iterator

import polars as pl
import pytest

from features.time import DAY
from segments.holdout import Holdout
from serving.activation.hand_offs import BOTH_ARMS, HANDED_OFF, HELD_OUT, LEFT_ALONE, HandOffs
from tests.serving.activation.scenes import Scene, going_to

USERS = [f"u{i}" for i in range(400)]
CART = "segments.cart"


@pytest.fixture
def scene(request: pytest.FixtureRequest) -> Iterator[Scene]:
    scene = Scene.set(
        "sqlite://", {"hook": going_to("http://localhost/")}, transitions={"holdout": 0.25}, identities={}
    )
    yield scene
    scene.close()


def asked(scene: Scene, *users: str, window: int = 7 * DAY) -> dict[str, tuple[str, float]]:
    rows = pl.DataFrame({"user": list(users), "at": 101 * DAY}, schema={"user": pl.String, "at": pl.Int64})
    hand_offs = HandOffs(scene.definition, scene.memberships)
    found = hand_offs.populations(rows, hand_offs.moves(100 * DAY), window)
    return {row["user"]: (row["population"], row["weight"]) for row in found.to_dicts()}


def test_who_moved_was_handed_off_or_held_out_and_stands_for_the_others(scene: Scene) -> None:
    scene.enter(*USERS[:300])
    held = dict(zip(USERS, Holdout(scene.definition).of(USERS, [CART] * 400).tolist(), strict=True))
    found = asked(scene, *USERS)
    for user in USERS[:300]:
        assert found[user] == ((HELD_OUT, 4.0) if held[user] else (HANDED_OFF, 0.0))
    assert all(found[user] == (LEFT_ALONE, 1.0) for user in USERS[300:])
    assert sum(weight for _, weight in found.values()) == pytest.approx(400, abs=60), "everybody is stood for"


def test_moves_count_within_the_time_asked_about(scene: Scene) -> None:
    scene.clock.at = 101 * DAY
    treated = [u for u in USERS if not Holdout(scene.definition).of([u], [CART])[0]][:3]
    scene.enter(treated[0])
    scene.clock.at = 107 * DAY
    scene.enter(treated[1])
    scene.clock.at = 108 * DAY
    scene.enter(treated[2])
    found = asked(scene, *treated)
    assert [found[user][0] for user in treated] == [HANDED_OFF, HANDED_OFF, LEFT_ALONE]


def test_to_move_twice_is_to_be_held_out_once(scene: Scene) -> None:
    out = next(u for u in USERS if Holdout(scene.definition).of([u], [CART])[0])
    for cart in (True, False, True):
        scene.enter(out, cart=cart)
        scene.clock.at += DAY
    assert asked(scene, out)[out] == (HELD_OUT, 4.0)


def test_who_was_in_both_arms_says_nothing(scene: Scene) -> None:
    out = Holdout(scene.definition).of(USERS, [CART] * 400)
    guest, known = USERS[int(out.argmax())], USERS[int(out.argmin())]
    scene.enter(guest, known)
    scene.memberships.merged({guest: known}, {}, scene.clock.at)
    assert asked(scene, known)[known] == (BOTH_ARMS, 0.0)


def test_nobody_is_acted_on_without_destinations() -> None:
    scene = Scene.set("sqlite://", {})
    scene.enter(*USERS[:5])
    assert set(asked(scene, *USERS[:10]).values()) == {(LEFT_ALONE, 1.0)}
    scene.close()


def test_nobody_is_asked_about(scene: Scene) -> None:
    assert asked(scene) == {}
