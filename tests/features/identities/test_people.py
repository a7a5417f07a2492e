"""People are who the oracle says, at each cutoff, and nothing that becomes known later changes that."""

from collections.abc import Callable

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.definition.sections.log.identities import Identities
from features.events.events import Events, Rows
from features.identities.merges import MERGES
from features.identities.people import People
from features.profile.fold import feature_rows, read_all_at
from features.time import DAY, HOUR, to_instant
from tests.features.identities.oracle import Merge, called, drawn_at, people_at
from tests.features.profile.folded import START, assert_same
from tests.oracle import Event, feature_row
from tests.worlds import definition_of, events_of
from training.dataset.outcomes import label

DEFINITION = definition_of(windows=["2h", 1, 7, 30])
RULES = Identities(most_ids=4, most_users=2)
IDS = ("anon-1", "anon-2", "anon-3", "u1", "u2", "u3", "0")

instants = st.integers(0, 40 * 24).map(lambda hour: START + hour * HOUR)


@st.composite
def histories(draw: Callable) -> list[Merge]:
    merges = []
    for _ in range(draw(st.integers(1, 10))):
        alias, user, known = draw(st.sampled_from(IDS)), draw(st.sampled_from(IDS)), draw(instants)
        undone = draw(st.none() | st.none() | instants)
        merges.append(Merge(alias, user, known, explicit=draw(st.booleans()) or undone is not None, undone=undone))
    return merges


logs = st.lists(
    st.builds(
        lambda user, t, signal, late: Event(user, t, (signal,), 2.5, t + late),
        st.sampled_from(IDS), instants, st.sampled_from(["visit", "purchase"]), st.sampled_from([0, 0, HOUR, 3 * DAY]),
    ),
    min_size=1, max_size=25,
)  # fmt: skip


def frame_of(merges: list[Merge]) -> pl.DataFrame:
    rows = [
        {"alias": m.alias, "user": m.user, "effective_at": m.known - 1, "known_at": m.known, "source": "log",
         "explicit": m.explicit, "undone_at": m.undone}
        for m in merges
    ]  # fmt: skip
    return pl.DataFrame(rows, schema=MERGES)


def people_of(merges: list[Merge]) -> People:
    return People.of(frame_of(merges), RULES)


def rows_of(events: Events) -> Rows:
    codes = np.repeat(np.arange(len(events.users)), np.diff(events.starts))
    none = np.zeros(codes.size, dtype=np.int64)
    users = events.users.to_arrow().cast(pa.large_string())
    return Rows(users, codes, events.t, events.visible, events.mask, events.values, none, none)


def as_people(log: list[Event], merges: list[Merge]) -> list[Events]:
    """The events of those who were never merged, and those of people."""
    events, people = events_of(DEFINITION, log), people_of(merges)
    alone = people.sets_of(events.users) < 0
    found = [events.take(np.flatnonzero(alone))] if alone.any() else []
    rows = rows_of(events)
    merged = people.events(rows.take(~alone[rows.codes]), events.ends)
    return found + ([merged] if merged is not None else [])


def rows_at(log: list[Event], merges: list[Merge], cutoffs: list[int]) -> dict[tuple[str, int], dict[str, object]]:
    found = {}
    for events in as_people(log, merges):
        for frame in feature_rows(events, read_all_at(events, np.array(cutoffs)), DEFINITION):
            found |= {(row["user"], to_instant(row["cutoff"])): row for row in frame.to_dicts()}
    return found


@settings(max_examples=300)
@given(histories(), st.lists(instants, min_size=1, max_size=4))
def test_who_is_who_is_what_the_oracle_says(merges: list[Merge], cutoffs: list[int]) -> None:
    people = people_of(merges)
    for c in cutoffs:
        expected = people_at(merges, c, RULES.most_ids, RULES.most_users)
        found = people.names(IDS, c)
        assert {one: found.get(one, one) for one in expected} == expected


@settings(max_examples=300)
@given(histories(), instants)
def test_a_holdout_is_drawn_by_the_id_that_was_first_a_users(merges: list[Merge], c: int) -> None:
    found, should = people_of(merges).drawn_as(c), drawn_at(merges, c, 4, 2)
    assert found == {user: drawn for user, drawn in should.items() if drawn != user}


@given(logs, histories(), st.lists(instants, min_size=1, max_size=4, unique=True).map(sorted))
def test_features_are_those_of_the_persons_known_by_the_cutoff(
    log: list[Event], merges: list[Merge], cutoffs: list[int]
) -> None:
    found, expected = rows_at(log, merges, cutoffs), {}
    for c in cutoffs:
        persons = called(log, people_at(merges, c, RULES.most_ids, RULES.most_users))
        rows = {user: feature_row(DEFINITION, persons, user, c) for user in {event.user for event in persons}}
        expected |= {(user, c): row for user, row in rows.items() if row is not None}
    assert set(found) == set(expected)
    for key, row in expected.items():
        assert_same(found[key], row, str(key))


@pytest.mark.long
@settings(max_examples=1_000)
@given(logs, histories(), instants)
def test_training_rows_do_not_know_later_merges(log: list[Event], merges: list[Merge], now: int) -> None:
    """Nothing that becomes known after a cutoff, neither a merge nor that one was undone, changes a bit of its row."""
    known = [Merge(m.alias, m.user, m.known, m.explicit, m.undone if m.undone is not None and m.undone <= now else None)
             for m in merges if m.known <= now]  # fmt: skip
    cutoffs = [now - 5 * DAY, now - DAY, now]
    with_later, without = rows_at(log, merges, cutoffs), rows_at(log, known, cutoffs)
    assert pl.DataFrame([with_later[key] for key in sorted(with_later)]).equals(
        pl.DataFrame([without[key] for key in sorted(without)])
    )


@given(logs, histories(), instants)
def test_labels_are_of_the_person_when_they_are_known(log: list[Event], merges: list[Merge], c: int) -> None:
    """Who comes back under another id has come back; merges known after the label is do not change it."""
    horizon = DEFINITION.outcomes["churn"].reach
    padded = [*log, Event("somebody", max(c + horizon, START + 60 * DAY), ("visit",))]
    by_then = people_at(merges, c + horizon, RULES.most_ids, RULES.most_users)
    for events in as_people(padded, merges):
        for frame in feature_rows(events, read_all_at(events, np.array([c])), DEFINITION):
            answers = label(events, frame.select("user", "cutoff"), DEFINITION, "churn")
            for user, answer in zip(frame["user"], answers, strict=True):
                person = by_then.get(user, user)
                came = [e for e in padded if by_then.get(e.user, e.user) == person and "visit" in e.signals
                        and c <= e.t < c + horizon]  # fmt: skip
                assert answer == (0 if came else 1), f"{user} at {c}"


@given(logs, histories(), st.randoms())
def test_the_order_of_merges_in_files_does_not_matter(log: list[Event], merges: list[Merge], random: object) -> None:
    shuffled = list(merges)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    cutoffs = [START + 10 * DAY, START + 30 * DAY]
    assert rows_at(log, merges, cutoffs) == rows_at(log, [*shuffled, *shuffled], cutoffs)


def test_a_merge_that_is_undone_leaves_what_was() -> None:
    log = [Event("anon-1", START + HOUR, ("visit",)), Event("u1", START + 2 * HOUR, ("visit",))]
    merges = [Merge("anon-1", "u1", START + 3 * HOUR, explicit=True, undone=START + 5 * HOUR)]
    cutoffs = [START + 4 * HOUR, START + 6 * HOUR]
    undone, never = rows_at(log, merges, cutoffs), rows_at(log, [Merge("u2", "u3", START)], cutoffs)
    assert set(undone) == {("u1", cutoffs[0]), ("u1", cutoffs[1]), ("anon-1", cutoffs[1])}
    for user in ("u1", "anon-1"):
        assert undone[user, cutoffs[1]] == never[user, cutoffs[1]]


def test_a_device_that_is_free_again_is_still_shared() -> None:
    """The claims of all users count, whether the device was somebody's then or not."""
    merges = [Merge("tablet", "u1", START, explicit=True, undone=START + 2 * HOUR),
              Merge("tablet", "u2", START + HOUR), Merge("tablet", "u3", START + 2 * HOUR)]  # fmt: skip
    expected = people_at(merges, START + 3 * HOUR, RULES.most_ids, RULES.most_users)
    assert expected["tablet"] == "tablet"
    assert people_of(merges).names(["tablet", "u3"], START + 3 * HOUR).get("tablet", "tablet") == "tablet"
