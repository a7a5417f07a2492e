"""People by the live path: profiles are those that the batch makes of the same log, whenever ids are merged."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from features.event_store import stored_events
from features.identities.people import People
from features.profile.codec import Identity, StoredProfile
from features.reading.live_messages import ALIAS, EXPLICIT, TRACK, LogColumns, Message
from features.time import HOUR
from serving.ingest.compact import compact
from serving.ingest.fold.history import History
from serving.ingest.fold.people import NOW, merges_of
from serving.ingest.reconcile import reconcile
from serving.ingest.tracking import Tracking
from tests.serving.ingest.scenes import BEGIN, Scene, message

RULES = {"most_ids": 4, "most_users": 2}
#: some have done something before the live log, some never do
IDS = ["u000", "u001", "u002", "new1", "new2", "new3"]

#: who, which other id, or none, whether it is asked for by name, how late, and what comes after it
steps = st.lists(
    st.tuples(st.sampled_from(IDS), st.sampled_from([None, None, None, *IDS]), st.booleans(),
              st.sampled_from([0, 0, HOUR, 30 * HOUR]),
              st.sampled_from(["", "", "", "fold", "fold", "compact", "nightly", "prune"])),
    min_size=2, max_size=14,
)  # fmt: skip


def sent_of(number: int, user: str, other: str | None, explicit: bool, late: int) -> list[Message]:
    """A visit; or a merge that was asked for; or a visit that says both."""
    at = BEGIN + 10 * HOUR + number * HOUR
    visit = message(number, user, "visit", at, late=late)
    if other is None or other == user:
        return [visit]
    if explicit:
        return [Message(f"m{number}", user, ALIAS, other, at - late, at, {EXPLICIT: True})]
    return [visit, Message(f"alias:{other}:{user}", user, ALIAS, other, at - late, at, {})]


def then(scene: Scene, what: str) -> None:
    if what in ("compact", "nightly", "prune"):
        scene.compact()
    if what in ("nightly", "prune"):
        scene.materialize()
    if what == "prune":
        scene.fold()
        state = compact(scene.definition, scene.settings, scene.live).state
        scene.live.prune(state.position, BEGIN + 400 * 24 * HOUR, log=scene.live.state().id)
    if what == "fold":
        scene.fold()


def expected(scene: Scene, sent: Sequence[Message]) -> dict[str, tuple[bytes, Identity]]:
    """What is to be stored of each id: the profile, and what is known of its person."""
    rules = scene.definition.identities
    assert rules is not None
    people = People.of(merges_of(sent), rules)
    drawn = people.drawn_as(NOW)
    called = {one: people.names([one], NOW).get(one, one) for one in IDS} if people else {one: one for one in IDS}
    tracked = [m for m in sent if m.kind == TRACK]
    words = scene.batch([Message(m.id, called.get(m.user, m.user), m.kind, m.event, m.t, m.received, m.body)
                         for m in tracked], called)  # fmt: skip
    found = {}
    for one, user in called.items():
        others = tuple(sorted(other for other, by in called.items() if by == one and other != one))
        if user != one:
            found[one] = (b"", Identity(now=user))
        elif one in words:
            found[one] = (words[one], Identity(others, drawn_as=drawn.get(one, "")))
    return found


def stored(scene: Scene) -> dict[str, tuple[bytes, Identity]]:
    values = dict(zip(IDS, scene.online.read_values(IDS), strict=True))
    found = {one: StoredProfile.from_bytes(value) for one, value in values.items() if value is not None}
    return {one: (p.words, p.identity) for one, p in found.items() if p.words or p.identity.now}


@pytest.mark.long
@hypothesis_settings(max_examples=20)
@given(steps)
def test_live_is_batch(tmp_path_factory: pytest.TempPathFactory, taken: list[tuple]) -> None:
    scene = Scene.set(tmp_path_factory.mktemp("people"), identities=RULES, rows=120, users=3)
    sent: list[Message] = []
    for number, (user, other, explicit, late, what) in enumerate(taken):
        messages = sent_of(number, user, other, explicit, late)
        outcomes = scene.live.append(messages)
        sent += [m for m, outcome in zip(messages, outcomes, strict=True) if outcome == "accepted"]
        then(scene, what)
    scene.fold()
    assert stored(scene) == expected(scene, sent)
    assert reconcile(scene.definition, scene.settings, scene.live).differences == []
    scene.compact()
    scene.materialize()
    assert stored(scene) == expected(scene, sent), "and the nightly batch changes nothing"
    assert reconcile(scene.definition, scene.settings, scene.live).differences == []
    scene.live.close()


def asked(scene: Scene, *items: dict[str, object], at: int = BEGIN + HOUR) -> list[str]:
    """Send messages as an SDK does, and fold them; the codes of those that were refused."""
    columns = LogColumns.load(scene.definition, scene.settings.folder(scene.definition.name))
    read = Tracking(columns).read(list(items), kind=None, sent=None, received=at)
    scene.live.append([m for _, m in read.messages] + read.merges, [letter for _, letter in read.refused])
    scene.fold()
    return [letter.code for _, letter in read.refused]


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene.set(tmp_path, identities=RULES, rows=120, users=3)


def test_identify_and_alias_make_one_person(scene: Scene) -> None:
    first = {"type": "track", "anonymousId": "anon-1", "event": "visit", "messageId": "1"}
    login = {"type": "identify", "userId": "new1", "anonymousId": "anon-1", "traits": {"plan": "pro"}, "messageId": "2"}
    renamed = {"type": "alias", "userId": "new2", "previousId": "new1", "messageId": "3"}
    assert asked(scene, first) == []
    assert scene.online.read(["anon-1"]).keys() == {"anon-1"}
    assert asked(scene, login, at=BEGIN + 2 * HOUR) == []
    found = scene.online.read_covered(["anon-1"])
    assert (list(found.profiles), found.now) == (["new1"], {"anon-1": "new1"})
    assert asked(scene, renamed, at=BEGIN + 3 * HOUR) == []
    found = scene.online.read_covered(["anon-1", "new1"])
    assert (list(found.profiles), found.now) == (["new2"], {"anon-1": "new2", "new1": "new2"})
    asked(scene, {**first, "messageId": "4"}, at=BEGIN + 4 * HOUR)
    again = scene.online.read_covered(["new2"]).profiles["new2"]
    assert again.identity.ids == ("anon-1", "new1")
    assert scene.stores is not None


def test_merges_are_read_again_where_a_job_has_removed_their_files_meanwhile(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.materialize()
    real, asked = stored_events.reported_merges, list[int]()

    def gone_once(*given: Any) -> pl.DataFrame:
        asked.append(len(asked))
        if len(asked) == 1:
            raise FileNotFoundError("merges-0.parquet")
        return real(*given)

    monkeypatch.setattr(stored_events, "reported_merges", gone_once)
    history = History(scene.definition, scene.settings)
    assert history.merges() is history.merges()
    assert asked == [0, 1]


def test_what_is_not_believed_is_a_dead_letter_once_and_the_event_counts(scene: Scene) -> None:
    def seen(user: str, number: int) -> dict[str, object]:
        return {"type": "track", "userId": user, "anonymousId": "device", "event": "visit", "messageId": f"{number}"}

    for number in range(6):
        asked(scene, seen(f"new{number % 2}", number), at=BEGIN + (1 + number) * HOUR)
    letters = scene.live.dead_letters()
    assert [(letter.stage, letter.reason) for letter in letters] == [
        ("merge", "the id belongs to another user already")
    ]
    asked(scene, seen("new2", 7), at=BEGIN + 9 * HOUR)
    assert "shared device" in scene.live.dead_letters()[-1].reason
    found = scene.online.read_covered(["device", "new0", "new1", "new2"])
    assert not found.now, "a device that many share is nobody's from then on"
    assert set(found.profiles) == {"new0", "new1", "new2"}
    asked(
        scene, {"type": "track", "userId": "new3", "anonymousId": "undefined", "event": "visit"}, at=BEGIN + 10 * HOUR
    )
    assert "word for nobody" in scene.live.dead_letters()[-1].reason


def test_alias_is_refused_where_a_definition_merges_nobody_and_where_it_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "without").mkdir()
    (tmp_path / "with").mkdir()
    without = Scene.set(tmp_path / "without", rows=60, users=3)
    alias = {"type": "alias", "userId": "u000", "previousId": "u001"}
    assert asked(without, alias) == ["no_identities"]
    both = {"type": "track", "userId": "u000", "anonymousId": "x", "event": "visit"}
    assert asked(without, both) == []
    assert not without.online.read_covered(["x"]).now
    there = Scene.set(tmp_path / "with", identities=RULES, rows=60, users=3)
    assert asked(there, alias | {"previousId": "u000"}, {"type": "alias", "userId": "u000"}) == ["user_id", "no_user"]


def test_cycles_and_merges_that_come_before_their_ids_twice_and_out_of_order(scene: Scene) -> None:
    def alias(user: str, previous: str, number: int) -> dict[str, object]:
        return {"type": "alias", "userId": user, "previousId": previous, "messageId": f"a{number}"}

    assert asked(scene, alias("new2", "new1", 1), alias("new2", "new1", 1), alias("new3", "new2", 2)) == []
    assert asked(scene, alias("new1", "new3", 3), at=BEGIN + 2 * HOUR) == []
    assert not scene.online.read(["new1", "new2", "new3"])
    asked(scene, {"type": "track", "userId": "new1", "event": "visit"}, at=BEGIN + 3 * HOUR)
    found = scene.online.read_covered(["new1", "new2"])
    assert (list(found.profiles), found.now) == (["new3"], {"new1": "new3", "new2": "new3"})
    assert reconcile(scene.definition, scene.settings, scene.live).differences == []
    assert pl.Series([letter.code for letter in scene.live.dead_letters()]).to_list() == []
