"""Live profiles are those the batch makes of the same log, whatever comes late, twice, or in which order."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from features.open_log import open_log
from features.profile.codec import StoredProfile
from features.settings import Settings
from features.system.progress import unseen
from features.time import DAY, HOUR
from features.traits import latest_traits
from serving.ingest.reconcile import reconcile
from serving.scoring.feature_rows import online_rows
from tests.serving.ingest.scenes import BEGIN, Scene, message

WORTH = ("purchase", "refund")

#: who, what, how many hours late, which is sent again, and what the operator does after it
happenings = st.lists(
    st.tuples(
        st.sampled_from(["u000", "u001", "u002", "new1", "new2"]),
        st.sampled_from(["visit", "visit", "purchase", "refund", "cart_add", "push", "identify"]),
        st.sampled_from([0, 0, 0, 1, 3, 70, 24 * 40]),
        st.booleans(),
        st.sampled_from(["", "", "", "fold", "fold", "compact", "nightly"]),
    ),
    min_size=1,
    max_size=25,
)


@hypothesis_settings(max_examples=hypothesis_settings().max_examples // 7)
@given(happenings, st.sampled_from(["UTC", "America/New_York"]))
def test_live_is_batch(
    tmp_path_factory: pytest.TempPathFactory, happened: list[tuple[str, str, int, bool, str]], timezone: str
) -> None:
    scene = Scene.set(tmp_path_factory.mktemp("live"), timezone=timezone, order="floor(revenue / 8)")
    sent = []
    for i, (user, event, late, again, then) in enumerate(happened):
        worth = -i - 0.5 if event == "refund" and i % 2 else i + 0.5
        body = {"plan": f"plan-{i}"} if event == "identify" else {"revenue": worth} if event in WORTH else {}
        sent.append(message(i, user, event, BEGIN + (i + 1) * HOUR, late=late * HOUR, **body))
        scene.live.append([sent[-1]])
        if again:
            scene.live.append(sent[-2:])
        if then == "fold":
            scene.fold()
        if then in ("compact", "nightly"):
            scene.compact()
        if then == "nightly":
            scene.materialize()
    scene.fold()
    assert scene.stored() == scene.batch(sent)
    assert reconcile(scene.definition, scene.settings, scene.live).differences == []
    scene.compact()
    scene.materialize()
    assert scene.stored() == scene.batch(sent), "and the nightly batch changes nothing"
    assert reconcile(scene.definition, scene.settings, scene.live).differences == []


def test_an_order_given_back_live_stops_standing_at_once_and_overnight(tmp_path: Path) -> None:
    scene = Scene.set(tmp_path, order="floor(revenue)")

    def stand() -> list[float]:
        row = online_rows(scene.online, scene.definition, ["new1"], BEGIN + 9 * DAY).rows.frame().to_dicts()[0]
        return [row[f"purchase_{part}"] for part in ("count_total", "kept_total", "kept_days_total", "kept_7d")]

    scene.live.append([message(i, "new1", "purchase", BEGIN + i * DAY, revenue=10.0 + i) for i in (1, 2, 3)])
    scene.fold()
    assert stand() == [3, 3, 3, 2]
    scene.live.append([message(4, "new1", "refund", BEGIN + 4 * DAY, revenue=12.0)])
    scene.fold()
    assert stand() == [3, 2, 2, 1]
    scene.compact()
    scene.materialize()
    assert stand() == [3, 2, 2, 1]
    scene.live.append([message(5, "new1", "refund", BEGIN + 5 * DAY, revenue=-24.0)])
    scene.fold()
    assert stand() == [3, 0, 0, 0], "nothing of what was paid is left"


@pytest.fixture(params=["sqlite", "redis"])
def scene(request: pytest.FixtureRequest, tmp_path: Path) -> Scene:
    if request.param == "sqlite":
        return Scene.set(tmp_path)
    address = request.getfixturevalue("redis_server")
    return Scene.set(tmp_path, Settings(home=tmp_path / "var", online_store="redis", redis=address))


def test_identify_becomes_traits_in_the_order_of_arrival(scene: Scene) -> None:
    sent = [
        message(1, "u000", "identify", BEGIN + HOUR, plan="pro"),
        message(2, "u000", "identify", BEGIN + 2 * HOUR, country="DE", shoe_size=43),
        message(3, "u000", "identify", BEGIN + 3 * HOUR, plan="max", late=5 * DAY),
        message(4, "new1", "identify", BEGIN + 4 * HOUR, plan="free"),
    ]
    scene.live.append(sent)
    scene.fold()
    assert scene.online.read(["u000"])["u000"].traits == {"plan": "max", "country": "DE"}
    assert scene.online.read(["new1"]) == {}, "who has done nothing has no profile"
    scene.live.append([message(5, "new1", "visit", BEGIN + 5 * HOUR)])
    scene.fold()
    assert scene.online.read(["new1"])["new1"].traits == {"plan": "free"}
    scene.compact()
    scene.materialize()
    scene.live.append([message(6, "u000", "identify", BEGIN + 6 * HOUR, plan=None)])
    scene.fold()
    assert scene.online.read(["u000"])["u000"].traits == {"plan": None, "country": "DE"}
    assert reconcile(scene.definition, scene.settings, scene.live).differences == []


def test_an_attribute_is_seen_after_the_instant_it_came_in(scene: Scene) -> None:
    """As events are, live as in the batch, and before and after the nightly job."""
    at = BEGIN + 2 * HOUR
    scene.live.append([message(1, "u000", "visit", BEGIN + HOUR), message(2, "u000", "identify", at, plan="max")])
    scene.fold()

    def plan(as_of: int, *, latest: bool = False) -> object:
        found = online_rows(scene.online, scene.definition, ["u000"], as_of, latest=latest)
        return found.missing.get("u000") or found.rows.traits["plan"].at(0)

    for _ in range(2):
        assert plan(at) == "as_of_before_profile"
        assert plan(at + 1) == "max"
        assert plan(at, latest=True) == "max", "a request for now gets what is known by now"
        scene.compact()
        scene.materialize()
        log = open_log(scene.definition, scene.settings, ends=None, steps=unseen)
        for cutoff, answer in ((at, "free"), (at + 1, "max")):
            known = latest_traits(scene.definition, cutoff, log.live)
            assert known is not None
            assert dict(known.select("user", "plan").rows())["u000"] == answer
    # saying the same again changes nothing
    scene.live.append([message(3, "u000", "identify", at + HOUR, plan="max")])
    scene.fold()
    assert plan(at + 1) == "max"
    assert reconcile(scene.definition, scene.settings, scene.live).differences == []


def test_a_store_that_goes_back_in_time_is_folded_forward_again(scene: Scene, tmp_path: Path) -> None:
    scene.live.append([message(1, "u000", "visit", BEGIN + HOUR)])
    scene.fold()
    scene.keep(tmp_path / "backup", "online")
    scene.live.append([message(2, "u000", "purchase", BEGIN + 2 * HOUR, revenue=5)])
    scene.fold()
    after = scene.stored()
    scene.bring_back(tmp_path / "backup", "online")
    assert scene.stored() != after
    scene.fold()
    assert scene.stored() == after


def test_a_value_that_somebody_changed_meanwhile_is_not_overwritten(scene: Scene) -> None:
    [was] = scene.online.read_values(["u003"])
    assert was is not None
    profile = StoredProfile.from_bytes(was)
    mine, other = (StoredProfile(profile.through + i, profile.words, {}, i).to_bytes() for i in (1, 2))
    assert scene.online.swap(["u003"], [other], [was]) == [True]
    assert scene.online.swap(["u003"], [mine], [was]) == [False]
    assert scene.online.read_values(["u003"]) == [other]
    assert scene.online.swap(["u003", "nobody"], [mine, mine], [other, None]) == [True, True]


def test_poison_is_put_aside_and_everybody_else_goes_on(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    from features.reading.live_messages import LogColumns

    whole = LogColumns.rows

    def rows(self: LogColumns, messages: list) -> object:
        if any(m.body.get("poison") for m in messages):
            raise ZeroDivisionError("poison")
        return whole(self, messages)

    monkeypatch.setattr(LogColumns, "rows", rows)
    before = scene.stored()
    sent = [message(1, "u000", "visit", BEGIN + HOUR), message(2, "u001", "visit", BEGIN + HOUR, poison=True),
            message(3, "u001", "visit", BEGIN + 2 * HOUR), message(4, "u001", "visit", BEGIN + 3 * HOUR, late=9 * DAY),
            message(5, "u002", "visit", BEGIN + HOUR)]  # fmt: skip
    scene.live.append(sent)
    scene.fold()
    [letter] = scene.live.dead_letters()
    assert (letter.stage, letter.code, letter.message_id, letter.user) == ("fold", "poison", "m2", "u001")
    assert "ZeroDivisionError" in letter.reason
    assert {user for user, words in scene.stored().items() if before.get(user) != words} == {"u000", "u001", "u002"}
    assert scene.stored() == scene.batch([m for m in sent if m.id != "m2"])


def test_late_events_wait_for_the_batch_where_no_event_store_is(scene: Scene) -> None:
    kept = scene.settings.folder("small") / "profiles"
    kept.rename(kept.with_name("elsewhere"))
    before = scene.stored()
    late = message(1, "u000", "visit", BEGIN + HOUR, late=9 * DAY)
    scene.live.append([late, *(message(i, user, "visit", BEGIN + HOUR) for i, user in ((2, "u001"), (3, "new1")))])
    scene.fold()
    changed = {user for user, words in scene.stored().items() if before.get(user) != words}
    assert changed == {"u001", "new1"}
    kept.with_name("elsewhere").rename(kept)
    scene.compact()
    scene.materialize()
    assert reconcile(scene.definition, scene.settings, scene.live).differences == []


def test_reconcile_finds_and_mends_what_somebody_spoilt(scene: Scene) -> None:
    scene.live.append([message(1, "u000", "visit", BEGIN + HOUR), message(2, "u001", "visit", BEGIN + HOUR)])
    scene.fold()
    right = scene.stored()
    names = ["u000", "u004", "u005"]
    was = scene.online.read_values(names)
    spoilt = [StoredProfile.from_bytes(v) for v in was if v is not None]
    values = [StoredProfile(p.through, spoilt[1].words, p.traits, p.position).to_bytes() for p in spoilt]
    assert all(scene.online.swap(names, values, was))
    scene.online.remove(["u006"])
    found = reconcile(scene.definition, scene.settings, scene.live)
    differ = {("u000", "profile"), ("u005", "profile"), ("u006", "missing")}
    assert {(d.user, d.why) for d in found.differences} == differ
    assert reconcile(scene.definition, scene.settings, scene.live, repair=True).repaired == 3
    assert reconcile(scene.definition, scene.settings, scene.live).differences == []
    assert scene.stored() == right
