"""A row that takes value away is no event of its signal, in files, the event store and live messages alike."""

from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from features.definition import Definition
from features.event_store.manifest import Manifest
from features.event_store.store import EventStore
from features.profile.stored import Profiles
from features.reading.live_messages import TRACK, LogColumns, Message
from features.reading.source import EventLog
from features.settings import Settings
from features.time import DAY, HOUR, to_instant
from tests.features.event_store.logs import NOON, SCHEMA, assert_same, definition_in, put, random_rows
from tests.oracle import Event, worth_of
from tests.worlds import events_of, with_signal

#: a refund may be written below 0, or above 0 with a name of its own; `dear` knows nothing of that name
SIGNALS = with_signal("purchase", where="event IN ('purchase', 'refund')", refund="event = 'refund'") | {
    "dear": {"where": "event IN ('purchase', 'cart_add') AND revenue IS NOT NULL", "value": "revenue / 2"},
}
AMOUNTS = [12.5, 25.0, -12.5, -25.0, 0.0, None, float("nan"), float("inf")]

happenings = st.lists(
    st.tuples(st.sampled_from("abc"), st.sampled_from(["visit", "cart_add", "purchase", "refund", "push"]),
              st.integers(0, 400), st.sampled_from(AMOUNTS)),
    min_size=1, max_size=30,
)  # fmt: skip


def rows_of(log: list[tuple[str, str, int, float | None]]) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "event_id": [f"m{i}" for i in range(len(log))],
            "user_id": [user for user, *_ in log],
            "event": [event for _, event, *_ in log],
            "event_time": [NOON + timedelta(hours=at) for *_, at, _ in log],
            "arrived_at": [NOON + timedelta(hours=at) for *_, at, _ in log],
            "revenue": [amount for *_, amount in log],
        },
        schema=SCHEMA,
    )


def expected_rows(log: list[tuple[str, str, int, float | None]], definition: Definition) -> list[tuple[object, ...]]:
    """User, time, signals and values of each row, by the oracle's rule, in one order."""
    found = []
    for user, event, at, amount in log:
        worth = amount if amount is not None and np.isfinite(amount) else 0.0
        signals = [s for s, holds in (("visit", event == "visit"), ("cart_add", event == "cart_add"),
                                      ("purchase", event in ("purchase", "refund")),
                                      ("dear", event in ("purchase", "cart_add") and amount is not None))
                   if holds]  # fmt: skip
        refunds = ("purchase",) if event == "refund" else ()
        e = Event(user, to_instant(NOON) + at * HOUR, tuple(signals), worth, refunds=refunds)
        [mask] = events_of(definition, [e]).mask.tolist() if signals else [0]
        half = Event(user, e.t, e.signals, worth / 2)
        if mask:
            found.append((user, e.t, mask, worth_of(definition, e, "purchase"), worth_of(definition, half, "dear")))
    return sorted(found)


def seen(users: list[str], starts: object, t: object, mask: object, values: np.ndarray) -> list[tuple[object, ...]]:
    """The same of events; what a row has of signals that are not concerned does not matter."""
    owner = np.repeat(users, np.diff(starts))  # type: ignore[call-overload]
    fired = [[bool(m >> 2 & 1 or m >> 60), bool(m >> 3 & 1 or m >> 60)] for m in np.asarray(mask).tolist()]
    return sorted(zip(owner.tolist(), np.asarray(t).tolist(), np.asarray(mask).tolist(),
                      *np.where(np.array(fired).reshape(-1, 2), values, 0.0).T.tolist(), strict=True))  # fmt: skip


@hypothesis_settings(max_examples=40)
@given(happenings)
def test_files_store_and_messages_agree_with_the_oracle(
    tmp_path_factory: pytest.TempPathFactory, log: list[tuple[str, str, int, float | None]]
) -> None:
    folder = tmp_path_factory.mktemp("refunds")
    definition = definition_in(folder, signals=SIGNALS)
    expected = expected_rows(log, definition)
    put(folder, "a", rows_of(log))
    if not expected:
        return
    whole = EventLog(definition).read()
    assert seen(whole.users.to_list(), whole.starts, whole.t, whole.mask, whole.values) == expected
    assert_same(EventStore.open(EventLog(definition), Settings(home=folder / "var")).read(), whole)
    columns = LogColumns(definition, EventLog(definition).columns)
    sent = [Message(f"m{i}", user, TRACK, event, to_instant(NOON) + at * HOUR, to_instant(NOON) + at * HOUR,
                    {} if amount is None else {"revenue": amount})
            for i, (user, event, at, amount) in enumerate(log)]  # fmt: skip
    live = columns.rows(sent).sorted().events(definition.events.ends and whole.ends, {})
    assert_same(live, type(whole)(**{f: getattr(whole, f) for f in live.__slots__} | {"counts": {}}))


def test_a_row_that_only_takes_away_is_kept_and_counted_nowhere(tmp_path: Path) -> None:
    definition = definition_in(tmp_path, signals=SIGNALS)
    put(tmp_path, "a", rows_of([("a", "refund", 1, 30.0), ("b", "purchase", 2, -30.0), ("c", "push", 3, -30.0)]))
    events = EventLog(definition).read()
    assert events.users.to_list() == ["a", "b"]
    assert [len(events.of_signal(i)) for i in range(4)] == [0, 0, 0, 0]
    assert events.values.tolist() == [[-30.0, 0.0], [-30.0, -15.0]]
    assert events.counts["no signal"] == 1


def as_before(folder: Path, definition: Definition, monkeypatch: pytest.MonkeyPatch) -> EventStore:
    """A store of a version to which a value below 0 was an event."""
    with monkeypatch.context() as before:
        before.setattr("features.engines.rows.without_refunds", lambda _: [("mask", "mask")])
        store = EventStore.open(EventLog(definition), Settings(home=folder / "var"))
    state = store.manifest.model_copy(update={"refunds": False})
    state.save(folder / "var" / definition.name / "events" / state.made_of)
    assert (store.read().mask < 1 << 60).all()
    return store


@pytest.mark.parametrize("again", [True, False])
def test_a_store_of_an_older_version_is_brought_to_the_rule(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, again: bool
) -> None:
    """Its log's files may be gone, ids may have come twice, and its profiles are rebuilt."""
    below = random_rows(600).with_columns(
        revenue=pl.when(pl.int_range(600) % 3 == 0).then(-pl.col("revenue")).otherwise("revenue")
    )
    put(tmp_path, "a", below)
    put(tmp_path, "b", below.head(200).with_columns(pl.col("arrived_at").dt.offset_by("1h")))
    definition = definition_in(tmp_path)
    settings, through = Settings(home=tmp_path / "var"), to_instant(NOON) + 60 * DAY
    old, profiles = as_before(tmp_path, definition, monkeypatch), Profiles(definition, tmp_path / "profiles")
    list(profiles.advance(old, through, None))
    profiles.commit()
    expected = EventLog(definition).read()
    if again:
        put(tmp_path, "c", below.head(100).with_columns(pl.col("arrived_at").dt.offset_by("2h")))
    store = EventStore.open(EventLog(definition), settings)
    assert store.manifest.refunds
    assert store.manifest.generation == old.manifest.generation, "it was not read from the log again"
    found = store.read()
    assert (found.mask >= 1 << 60).sum() >= 20
    for name in ("starts", "t", "visible", "mask", "values"):
        assert np.array_equal(getattr(found, name), getattr(expected, name)), name
    changed = pl.concat(profiles.advance(store, through, None))
    profiles.commit()
    fresh = Profiles(definition, tmp_path / "fresh")
    whole = dict(pl.concat(fresh.advance(store, through, None, everyone=True)).iter_rows())
    kept = dict(pl.concat(profiles.advance(store, through, None, everyone=True)).iter_rows())
    assert len(changed) > 10
    assert kept == whole
    once_more = EventStore.open(EventLog(definition), settings).manifest
    assert once_more.position == store.manifest.position, "once"


def test_a_store_without_values_below_0_stays_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, "a", random_rows(300))
    old = as_before(tmp_path, definition_in(tmp_path), monkeypatch)
    state = EventStore.open(EventLog(definition_in(tmp_path)), Settings(home=tmp_path / "var")).manifest
    assert isinstance(state, Manifest)
    assert (state.refunds, state.position, state.parts) == (True, old.manifest.position, old.manifest.parts)
