"""The documented merge rules of the systems whose messages and exports are read."""

import polars as pl
import pytest

from features.definition.sections.log.identities import Identities
from features.identities.merges import MERGES
from features.identities.people import People


def judged(
    *reported: tuple[str, str, bool], most_ids: int = 500, most_users: int = 5
) -> tuple[dict[str, str], dict[tuple[str, str], str]]:
    """Who is who after merges one after the other, ``alias, user, asked for by name``; and what was refused."""
    rows = [
        {"alias": alias, "user": user, "effective_at": at, "known_at": at + 1, "source": "log", "explicit": explicit,
         "undone_at": None}
        for at, (alias, user, explicit) in enumerate(reported)
    ]  # fmt: skip
    people = People.of(pl.DataFrame(rows, schema=MERGES), Identities(most_ids=most_ids, most_users=most_users))
    refused = {(row["alias"], row["user"]): row["reason"] for row in people.links.refused.to_dicts()}
    return dict(people.at(10**9).iter_rows()) if people else {}, refused


def test_segment_one_user_id_a_profile() -> None:
    """Unify: external ids join one profile; ``user_id`` is limited to one, so a second login on a device joins nothing.

    Source: Segment's documentation of identity resolution settings (limits and priorities of external ids).
    """
    who, refused = judged(("anon", "alice", False), ("anon", "bob", False), ("phone", "alice", False))
    assert who == {"anon": "alice", "phone": "alice", "alice": "alice"}
    assert refused == {("anon", "bob"): "the id belongs to another user already"}


def test_rudderstack_joins_user_and_anonymous_id_and_alias_joins_two_users() -> None:
    """Source: RudderStack's documentation of identity resolution, the merge rules of its calls."""
    who, refused = judged(("anon", "old", False), ("old", "new", True))
    assert who == {"anon": "new", "old": "new", "new": "new"}
    assert not refused


def test_mixpanel_two_user_ids_never_merge_by_a_device() -> None:
    """Simplified id merge: the first event with ``$device_id`` and ``$user_id`` makes the cluster.

    Source: Mixpanel's documentation of the simplified id merge.
    """
    who, refused = judged(("device", "user-1", False), ("device", "user-2", False), ("user-1", "user-2", False))
    assert who == {"device": "user-1", "user-1": "user-1"}
    assert refused["user-1", "user-2"] == "the id is a known user's; only an explicit merge joins two of them"


def test_mixpanel_a_cluster_has_at_most_500_ids() -> None:
    """Original id merge: 500 ids a cluster. Source: Mixpanel's documentation of the original id merge."""
    who, refused = judged(*((f"d{i:03d}", "user", False) for i in range(520)))
    assert len(who) == 500
    assert set(refused.values()) == {"the person would have more ids than identities.most_ids"}


def test_posthog_an_identified_source_is_merged_only_dangerously() -> None:
    """``$identify`` is refused where the source is identified already; ``$merge_dangerously`` merges.

    Source: PostHog's documentation of identifying users and of merging persons.
    """
    who, refused = judged(("anon", "alice", False), ("alice", "alice@example.org", False))
    assert who["alice"] == "alice"
    assert ("alice", "alice@example.org") in refused
    who, refused = judged(("anon", "alice", False), ("alice", "alice@example.org", True))
    assert set(who.values()) == {"alice@example.org"}
    assert not refused


@pytest.mark.parametrize("word", ["anonymous", "guest", "null", "undefined", "0", "[object Object]", "NaN", "none",
                                  "00000000-0000-0000-0000-000000000000", "distinct_id", "true"])  # fmt: skip
def test_posthog_words_for_nobody_are_nobody(word: str) -> None:
    """Source: the list of illegal distinct ids in PostHog's documentation, and Segment's pattern of zeros."""
    for merge in ((word, "alice", True), ("alice", word, True)):
        who, refused = judged(merge)
        assert not who
        assert list(refused.values()) == ["an id that is a word for nobody"]


def test_a_shared_device_is_nobodys() -> None:
    """Ten thousand users log in on one tablet of a shop: it is nobody's, and none of them is another."""
    who, refused = judged(*(("tablet", f"u{i}", False) for i in range(10_000)), ("phone", "u3", False))
    assert who == {"phone": "u3", "u3": "u3"} | {one: one for one in ("tablet", "u0")}
    assert sum(reason.startswith("the id is a shared device") for reason in refused.values()) == 10_000 - 5


def test_a_circle_and_an_id_of_itself_change_nothing() -> None:
    who, refused = judged(("a", "b", True), ("b", "c", True), ("c", "a", True), ("d", "d", True))
    assert who == {"a": "c", "b": "c", "c": "c"}
    assert refused == {("d", "d"): "both ids are the same"}
