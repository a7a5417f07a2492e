"""Corrections by the live path: whatever is sent under one id, in whichever order, counts as it does in files."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pydantic import SecretStr

from features.feature_store import OnlineProfiles
from features.reading.live_messages import Message
from features.settings import Settings
from features.time import DAY, HOUR
from segments.transitions.evidence import evidence_of
from serving.ingest.compact import compact
from serving.ingest.reconcile import reconcile
from serving.scoring.feature_rows import online_rows
from tests.features.event_store.logs import COLUMNS
from tests.serving.ingest.scenes import BEGIN, Scene, message

USERS = ["u000", "u001", "new1"]
EVENTS = ["visit", "purchase", "purchase", "cart_add", "nothing we know"]
LATE = [0, HOUR, 3 * HOUR, 70 * HOUR, 40 * DAY]
THEN = ["", "", "fold", "fold", "die", "compact", "nightly", "prune"]

#: an id, whose it is mostly, what happened, how late, worth, how much earlier it was received, what comes after it
Step = tuple[int, int, str, int, float, int, str]

steps = st.lists(
    st.tuples(
        st.integers(0, 5), st.sampled_from([0, 0, 0, 1]), st.sampled_from(EVENTS), st.sampled_from(LATE),
        st.sampled_from([1.0, 2.5]), st.sampled_from([0, 0, 0, 5 * HOUR]), st.sampled_from(THEN),
    ),
    min_size=2,
    max_size=20,
)  # fmt: skip


def sent_of(taken: Sequence[Step]) -> list[Message]:
    """Messages an hour apart; those of other users than an id's own are never received before its own."""
    sent = []
    for i, (number, other, event, late, worth, skew, _) in enumerate(taken):
        user = USERS[(number + other) % len(USERS)]
        known = any(m.id == f"m{number}" for m in sent)
        at = BEGIN + 10 * HOUR + i * HOUR - (skew if known and not other else 0)
        answer = message(number, user, event, at, late=late, revenue=worth)
        sent.append(replace(answer, stated=answer.t))
    return sent


class Killed(BaseException):
    """The end of a process."""


def die(scene: Scene) -> None:
    """Fold, and be killed after profiles are written and before the position is stored."""

    def killed(*_: object, **__: object) -> None:
        raise Killed

    worker = scene.worker()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(OnlineProfiles, "mark", killed)
        with suppress(Killed):
            worker.step()
    worker._leases.give_back()


def after(scene: Scene, then: str) -> None:
    if then == "fold":
        scene.fold()
    if then == "die":
        die(scene)
    if then in ("compact", "nightly", "prune"):
        state = compact(scene.definition, scene.settings, scene.live).state
        if then != "compact":
            scene.materialize()
        if then == "prune":
            scene.live.prune(state.position, BEGIN + 900 * HOUR, log=state.log)


def check(scene: Scene, taken: Sequence[Step]) -> None:
    sent = []
    for answer, step in zip(sent_of(taken), taken, strict=True):
        sent += [answer] if scene.live.append([answer]) != ["id_taken"] else []
        after(scene, step[-1])
    scene.fold()
    expected = scene.batch(sent)
    assert scene.stored() == expected
    assert reconcile(scene.definition, scene.settings, scene.live).differences == []
    after(scene, "nightly")
    assert scene.stored() == expected, "and the nightly batch changes nothing"
    scene.lose("online")
    scene.materialize()
    scene.fold()
    assert scene.stored() == expected, "nor does a rebuild"
    assert reconcile(scene.definition, scene.settings, scene.live).differences == []
    scene.live.close()


def test_a_correction_is_a_cause(tmp_path: Path) -> None:
    """Whatever a user's record is by it has changed because of what came in, and not because time has passed."""
    scene = set_scene(tmp_path, arrivals=True)

    def known() -> int:
        scene.fold()
        rows = online_rows(scene.online, scene.definition, ["u000"], BEGIN + 9 * DAY, latest=True).rows
        return int(evidence_of(rows, scene.definition)[0])

    first = message(1, "u000", "purchase", BEGIN + 5 * HOUR, revenue=1.0)
    seen = [known()]
    for answer in (
        first,
        replace(first, body={"revenue": 2.0}, received=BEGIN + 6 * HOUR),
        replace(first, event="visit", received=BEGIN + 8 * HOUR),
    ):
        scene.live.append([answer])
        seen.append(known())
        scene.live.append([replace(answer, received=BEGIN + 9 * HOUR)])
        assert known() == seen[-1], "a repeat is none"
    assert len(set(seen)) == len(seen)


def set_scene(folder: Path, *, arrivals: bool, url: str = "") -> Scene:
    settings = Settings(home=folder / "var", live_log=SecretStr(url))
    return Scene.set(folder, settings, columns={k: v for k, v in COLUMNS.items() if arrivals or k != "arrived"})


@hypothesis_settings(max_examples=hypothesis_settings().max_examples // 15, deadline=None)
@given(steps, st.booleans())
def test_live_corrections_are_those_of_files(
    tmp_path_factory: pytest.TempPathFactory, taken: list[Step], arrivals: bool
) -> None:
    check(set_scene(tmp_path_factory.mktemp("corrected"), arrivals=arrivals), taken)


@pytest.mark.nightly
@pytest.mark.long
@hypothesis_settings(max_examples=60, deadline=None)
@given(steps, st.booleans())
def test_live_corrections_are_those_of_files_often(
    tmp_path_factory: pytest.TempPathFactory, taken: list[Step], arrivals: bool
) -> None:
    check(set_scene(tmp_path_factory.mktemp("corrected"), arrivals=arrivals), taken)


@pytest.mark.parametrize("seed", [1, 2])
def test_so_they_are_in_postgresql(tmp_path: Path, postgres: str, seed: int) -> None:
    numbers = np.random.default_rng(seed).integers(0, 2**30, (30, 7)).tolist()
    taken: list[Step] = [
        (number % 4, int(other % 3 == 0), EVENTS[event % 5], LATE[late % 5], (1.0, 2.5)[worth % 2],
         5 * HOUR * int(skew % 3 == 0), THEN[then % len(THEN)])
        for number, other, event, late, worth, skew, then in numbers
    ]  # fmt: skip
    check(set_scene(tmp_path, arrivals=True, url=postgres), taken)
