"""Experiments: users who enter are assigned once, and only those of a variant that acts are handed off."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import sqlalchemy as sa

from features.definition.sections.experiment import NOTHING
from features.errors import PropensityError
from features.time import DAY
from segments.holdout import Holdout
from segments.variants import trials
from serving.activation.hand_offs import HANDED_OFF, HELD_OUT, LEFT_ALONE, HandOffs
from serving.activation.transitions import TransitionRecorder
from serving.database.activation_tables import scorings
from tests.serving.activation.receivers import Answer, Receiver
from tests.serving.activation.scenes import Scene, drained, going_to

CART = "segments.cart"
DAY_101 = "1970-04-12T00:00:00+00:00"
WINBACK: dict[str, Any] = {
    "of": CART, "destination": "hook", "variants": {"nothing": 0.5, "mail": 0.3, "voucher": 0.2},
    "primary": "churn", "better": "less", "starts": DAY_101,
}  # fmt: skip
USERS = [f"v{i:03d}" for i in range(300)]

MakeScene = Callable[..., Scene]


def assigned(scene: Scene) -> pl.DataFrame:
    [one] = trials(scene.definition)
    return scene.memberships.assigned(one)


def variants(scene: Scene) -> dict[str, str]:
    return dict(assigned(scene).select("user", "variant").iter_rows())


def test_only_variants_that_act_are_sent_and_each_message_names_its_own(
    set_scene: MakeScene, receiver: Receiver, address: str
) -> None:
    scene = set_scene({"hook": going_to(receiver.url)}, address, experiments={"winback": WINBACK})
    scene.enter(*USERS)
    given = variants(scene)
    assert set(given) == set(USERS)
    assert Counter(given.values())[NOTHING] == pytest.approx(150, abs=30)
    drained(scene)
    assert {m["user_id"]: m["variant"] for m in receiver.messages} == {
        user: variant for user, variant in given.items() if variant != NOTHING
    }
    [one] = trials(scene.definition)
    assert {m["experiment"] for m in receiver.messages} == {one}


def test_who_enters_before_the_start_or_after_the_end_takes_no_part(set_scene: MakeScene, receiver: Receiver) -> None:
    ends = {"ends": "1970-04-14T00:00:00+00:00"}
    scene = set_scene({"hook": going_to(receiver.url)}, experiments={"winback": WINBACK | ends})
    for at, users in ((101 * DAY - 1, USERS[:50]), (101 * DAY, USERS[50:100]), (103 * DAY, USERS[100:150])):
        scene.clock.at = at
        scene.enter(*users)
    assert set(variants(scene)) == set(USERS[50:100])
    drained(scene)
    outside = [m for m in receiver.messages if m["user_id"] not in USERS[50:100]]
    assert len(outside) == 100
    assert all("variant" not in m for m in outside)


def test_a_user_keeps_the_variant_and_nothing_is_never_sent(set_scene: MakeScene, receiver: Receiver) -> None:
    scene = set_scene({"hook": going_to(receiver.url)}, experiments={"winback": WINBACK})
    scene.enter(*USERS)
    first = assigned(scene)
    for cart in (False, True):
        scene.clock.at += 500 * DAY
        scene.enter(*USERS, cart=cart)
    assert assigned(scene).drop("exposure", "exposed_at").equals(first.drop("exposure", "exposed_at"))
    drained(scene)
    scene.memberships.resync("hook")
    scene.memberships.replay("hook", 0)
    drained(scene)
    acting = {user for user, variant in variants(scene).items() if variant != NOTHING}
    assert {m["user_id"] for m in receiver.messages} == acting
    assert Counter(m["user_id"] for m in receiver.messages)[next(iter(acting))] == 3 + 1 + 3
    assert {m["variant"] for m in receiver.messages} == {"mail", "voucher"}


def test_who_is_held_out_of_the_audience_takes_no_part(set_scene: MakeScene, receiver: Receiver) -> None:
    scene = set_scene({"hook": going_to(receiver.url)}, experiments={"winback": WINBACK}, transitions={"holdout": 0.25})
    scene.enter(*USERS)
    out = Holdout(scene.definition).of(USERS, [CART] * len(USERS))
    assert set(variants(scene)) == {user for user, held in zip(USERS, out, strict=True) if not held}


def test_another_destination_is_sent_everybody(set_scene: MakeScene, receiver: Receiver) -> None:
    hooks = {"hook": going_to(receiver.url), "log": going_to(receiver.url)}
    scene = set_scene(hooks, experiments={"winback": WINBACK})
    scene.enter(*USERS)
    drained(scene, "log")
    assert {m["user_id"] for m in receiver.messages} == set(USERS)
    assert all("variant" not in m for m in receiver.messages)


def test_what_a_destination_wants_to_know_of_another_state_is_not_withheld(
    set_scene: MakeScene, receiver: Receiver
) -> None:
    silent = WINBACK | {"of": "states.silent"}
    scene = set_scene({"hook": going_to(receiver.url, of=["states"])}, experiments={"winback": silent})
    scene.say({user: {"states": "silent"} for user in USERS})
    scene.clock.at += 5 * DAY
    scene.say({user: {"states": "active"} for user in USERS})
    drained(scene)
    sent = Counter((m["user_id"], m["after"]) for m in receiver.messages)
    for user, variant in variants(scene).items():
        assert sent[user, "silent"] == (variant != NOTHING)
        assert sent[user, "active"] == 1


def test_exposure_says_what_arrived(set_scene: MakeScene) -> None:
    refused: set[str] = set()

    def answer(n: int, body: bytes) -> Answer:
        return Answer(400 if any(user.encode() in body for user in refused) else 200)

    receiver = Receiver(answer)
    scene = set_scene({"hook": going_to(receiver.url, batch=1)}, experiments={"winback": WINBACK})
    scene.enter(*USERS[:60])
    acting = [user for user, variant in variants(scene).items() if variant != NOTHING]
    exposures = dict(assigned(scene).select("user", "exposure").iter_rows())
    assert exposures == {u: "handed off" if u in acting else "withheld" for u in USERS[:60]}
    refused |= set(acting[:3])
    while scene.memberships.outbox.status()["waiting"][0]:
        scene.clock.at += DAY // 24
        drained(scene)
    found = {user: (exposure, at) for user, exposure, at in
             assigned(scene).select("user", "exposure", "exposed_at").iter_rows()}  # fmt: skip
    assert {user for user, (exposure, _) in found.items() if exposure == "failed"} == refused
    assert {user for user, (exposure, _) in found.items() if exposure == "delivered"} == set(acting[3:])
    refused.clear()
    scene.memberships.outbox.revive("hook")
    drained(scene)
    assert set(assigned(scene).filter(pl.col("exposure") == "delivered")["user"]) == set(acting)
    receiver.close()


def test_a_variant_survives_the_merging_of_ids(set_scene: MakeScene, receiver: Receiver, address: str) -> None:
    scene = set_scene({"hook": going_to(receiver.url)}, address, experiments={"winback": WINBACK}, identities={})
    scene.enter(*USERS[:80])
    given = variants(scene)
    a, b = (next(u for u, v in given.items() if v == name) for name in (NOTHING, "mail"))
    same = [u for u, v in given.items() if v == "mail"][1:3]
    scene.memberships.merged({a: b, same[0]: same[1], USERS[4]: "somebody"}, {}, scene.clock.at)
    found = {row["user"]: row for row in assigned(scene).to_dicts()}
    assert found[b]["variant"] == given[min(a, b)], "of the same instant the first by id stays"
    assert found[b]["mixed"]
    assert not found[same[1]]["mixed"]
    assert found["somebody"]["variant"] == given[USERS[4]]
    assert not {a, same[0], USERS[4]} & found.keys()


def test_an_edited_experiment_is_a_new_one_and_the_old_one_can_still_be_read(
    set_scene: MakeScene, receiver: Receiver
) -> None:
    scene = set_scene({"hook": going_to(receiver.url)}, experiments={"winback": WINBACK})
    scene.enter(*USERS[:100])
    [first] = trials(scene.definition)
    again = set_scene({"hook": going_to(receiver.url)}, experiments={"winback": WINBACK | {"better": "more"}})
    assert assigned(again).is_empty()
    again.enter(*USERS[:100], cart=False)
    again.clock.at += DAY
    again.enter(*USERS[:100])
    [second] = trials(again.definition)
    assert len(assigned(again)) == len(again.memberships.assigned(first)) == 100
    assert again.memberships.experiments().keys() == {first, second}
    assert again.memberships.experiments()[first]["better"] == "less"
    differ = sum(variants(again)[user] != variants(scene)[user] for user in USERS[:100])
    assert differ > 30, "the arms are drawn again"


def test_an_erased_user_leaves_no_assignment(set_scene: MakeScene, receiver: Receiver) -> None:
    scene = set_scene({"hook": going_to(receiver.url)}, experiments={"winback": WINBACK})
    scene.enter(*USERS[:40])
    withheld = [user for user, variant in variants(scene).items() if variant == NOTHING]
    gone = scene.memberships.erase(USERS[:40])
    assert gone["arms of experiments"] == 40
    assert assigned(scene).is_empty()
    drained(scene)
    assert not {m["user_id"] for m in receiver.messages} & set(withheld), "who was never sent is not named now"


def recorder(scene: Scene, folder: Path) -> TransitionRecorder:
    return TransitionRecorder(scene.definition, scene.memberships, folder / "scores")


def test_who_is_in_the_audience_already_takes_part_when_asked_for(
    set_scene: MakeScene, receiver: Receiver, address: str, tmp_path: Path
) -> None:
    scene = set_scene({"hook": going_to(receiver.url)}, address, experiments={"winback": WINBACK},
                      transitions={"holdout": 0.1})  # fmt: skip
    scene.clock.at = 101 * DAY - 1
    scene.enter(*USERS[:100])
    scene.enter(*USERS[:10], cart=False)
    drained(scene)
    before = len(receiver.messages)
    [trial] = trials(scene.definition).values()
    made = recorder(scene, tmp_path)
    words = "winback starts on 1970-04-12; the newest batch of scores is of 1970-04-11"
    with pytest.raises(PropensityError, match=words):
        made.enrol(trial)
    scene.clock.at = 102 * DAY
    scene.complete()
    held = set(np.array(USERS)[Holdout(scene.definition).of(USERS, [CART] * len(USERS))])
    inside = set(USERS[10:100]) - held
    assert made.enrol(trial) == len(inside)
    assert set(variants(scene)) == inside
    assert set(assigned(scene)["at"]) == {102 * DAY}
    assert made.enrol(trial) == 0, "the same again does nothing"
    drained(scene)
    sent = receiver.messages[before:]
    assert {m["user_id"]: m["variant"] for m in sent} == {u: v for u, v in variants(scene).items() if v != NOTHING}
    assert {(m["cause"], m["before"], m["after"]) for m in sent} == {("experiment", None, "in")}
    assert len(sent) == len({m["id"] for m in sent})
    assert set(assigned(scene).filter(pl.col("variant") != NOTHING)["exposure"]) == {"delivered"}
    assert not [t for t in scene.memberships.history() if t.cause == "experiment"]
    scene.clock.at = 103 * DAY
    scene.enter(*USERS[:10])
    assert set(variants(scene)) == inside | (set(USERS[:10]) - held), "who enters later is assigned then"


def test_enrolled_users_count_as_treated_or_held_out_by_their_variant(
    set_scene: MakeScene, receiver: Receiver, tmp_path: Path
) -> None:
    scene = set_scene({"hook": going_to(receiver.url)}, experiments={"winback": WINBACK})
    scene.clock.at = 101 * DAY - 1
    scene.enter(*USERS[:100])
    scene.clock.at = 110 * DAY
    scene.complete()
    [trial] = trials(scene.definition).values()
    recorder(scene, tmp_path).enrol(trial)
    rows = pl.DataFrame({"user": USERS[:110], "at": 109 * DAY})
    hand_offs = HandOffs(scene.definition, scene.memberships)
    found = hand_offs.populations(rows, hand_offs.moves(105 * DAY), 7 * DAY)
    given = variants(scene)
    for user, population, weight in found.select("user", "population", "weight").iter_rows():
        wanted = {None: (LEFT_ALONE, 1.0), NOTHING: (HELD_OUT, 2.0)}.get(given.get(user), (HANDED_OFF, 0.0))
        assert (population, weight) == wanted


def test_nobody_is_enrolled_before_the_first_batch(tmp_path: Path) -> None:
    scene = Scene.set("sqlite://", {"hook": going_to("http://localhost/")}, experiments={"winback": WINBACK})
    with scene.memberships.live.writing() as connection:
        connection.execute(sa.delete(scorings))
    [trial] = trials(scene.definition).values()
    with pytest.raises(PropensityError, match="nobody was scored yet"):
        recorder(scene, tmp_path).enrol(trial)
    scene.close()
