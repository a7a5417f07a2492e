"""What a caller can make the service keep, answer and compute is bounded, whatever the body says."""

import gzip
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from features.definition import Definition
from features.reading.live_messages import LogColumns
from features.settings import Settings
from features.time import DAY
from serving.database.log.dead_letters import DeadLetter, Limits
from serving.database.log.live_log import LiveLog
from serving.database.schema import connect
from serving.ingest.group_commit import Committer
from serving.ingest.replay import replay
from serving.ingest.request import Call, Ingest, Received, RequestError
from serving.ingest.tracking import Tracking
from tests.features.event_store.logs import definition_in
from tests.worlds import DEFINITION

TYPES = {"event_id": "VARCHAR", "user_id": "VARCHAR", "event": "VARCHAR", "event_time": "TIMESTAMP WITH TIME ZONE",
         "arrived_at": "TIMESTAMP WITH TIME ZONE", "revenue": "DOUBLE"}  # fmt: skip
NOW = 100 * DAY


def tracking() -> Tracking:
    events = definition_in(Path()).events.model_dump()
    return Tracking(LogColumns(Definition.model_validate(DEFINITION | {"events": events}), TYPES))


class Desk:
    """Ingestion as the web calls it, with a live log of its own."""

    def __init__(self, folder: Path, letters: Limits | None = None) -> None:
        self.log = LiveLog(connect(f"sqlite:///{folder / 'live.db'}"), letters)
        self.committer = Committer(self.log, lambda: None)
        self.ingest = Ingest(tracking(), self.committer)

    def take(self, body: object, call: Call = "batch", *, at: int = NOW) -> Received:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        read, done = self.ingest.begin(call, content, "", at)
        return self.ingest.answer(read, done.result(30))

    def close(self) -> None:
        self.committer.close()
        self.log.close()


@pytest.fixture
def desk(tmp_path: Path) -> Any:
    opened = Desk(tmp_path)
    yield opened
    opened.close()


def test_a_batch_of_too_many_messages_is_refused_with_the_remedy(desk: Desk) -> None:
    packed = gzip.compress(b'{"batch":[' + b",".join([b"1"] * 249_990) + b"]}")
    with pytest.raises(RequestError, match=r"249,990 messages.*Fix: send them in several requests") as refused:
        desk.ingest.begin("batch", packed, "gzip", NOW)
    assert refused.value.status == 413
    assert not desk.log.dead_letters()


def test_refused_messages_are_counted_and_the_first_hundred_kept(desk: Desk) -> None:
    received = desk.take({"batch": [1] * 2_499 + [{"type": "track", "userId": "u", "event": "visit"}]})
    assert (received.accepted, received.refused_total, len(received.refused)) == (1, 2_499, 100)
    assert len(desk.log.dead_letters()) == 100
    assert len(received.model_dump_json()) < 20_000


def test_of_dead_letters_the_newest_are_kept(tmp_path: Path) -> None:
    desk = Desk(tmp_path, Limits(number=250, age=30 * DAY))
    for day in range(4):
        desk.take({"batch": [day] * 90}, at=NOW + day * DAY)
    kept = desk.log.dead_letters()
    assert len(kept) == 250
    assert kept[-1].body == "3"
    desk.take({"batch": [9] * 10}, at=NOW + 32 * DAY)
    assert {letter.body for letter in desk.log.dead_letters()} == {"2", "3", "9"}, "older than thirty days"
    assert desk.log.prune_letters(NOW + 90 * DAY) == 190
    desk.close()


def test_letters_of_the_fold_are_bounded_too(tmp_path: Path) -> None:
    log = LiveLog(connect(f"sqlite:///{tmp_path / 'live.db'}"), Limits(number=3))
    log.take_out([], [DeadLetter("fold", "poison", "x", str(i), NOW) for i in range(7)])
    assert [letter.body for letter in log.dead_letters()] == ["4", "5", "6"]
    log.close()


def test_the_settings_say_how_many_letters_are_kept(tmp_path: Path) -> None:
    definition = Definition.model_validate(DEFINITION)
    log = LiveLog.open(definition, Settings(home=tmp_path, dead_letters=2))
    log.append([], [DeadLetter("ingest", "x", "x", str(i), NOW) for i in range(5)])
    assert [letter.body for letter in log.dead_letters()] == ["3", "4"]
    log.close()


@pytest.mark.parametrize("depth", [63, 65, 500, 900, 940, 953, 1_000, 20_000])
@pytest.mark.parametrize("key", ["properties", "sentAt", "timestamp", "type", "userId", "event", "context"])
def test_no_depth_of_nesting_is_an_error_of_ours(desk: Desk, key: str, depth: int) -> None:
    nested = b"[" * depth + b"]" * depth
    if key == "properties":
        nested = b'{"x":' + nested + b"}"
    rest = {name: value for name, value in {"type": "track", "userId": "u", "event": "visit"}.items() if name != key}
    message = json.dumps(rest).encode()[:-1] + b', "' + key.encode() + b'": ' + nested + b"}"
    outer = b'{"batch":[' + message + b'], "' + key.encode() + b'": ' + nested + b"}"
    for call, body in (("track", message), ("batch", outer)):
        try:
            received = desk.take(body, call)  # type: ignore[arg-type] # both are calls
        except RequestError:
            assert depth > 64
        else:
            assert received.accepted + received.refused_total == 1
            assert not (received.accepted and depth > 64)
    replay(desk.log, tracking(), None)


@pytest.mark.parametrize(
    "value", ["\u0661\u0662\u0663", "\uff11\uff12", "Infinity", "nan", 10**400, "1e400", True, "twelve", ""]
)
def test_what_duckdb_reads_as_no_number_is_refused(desk: Desk, value: object) -> None:
    message = {"type": "track", "userId": "u", "event": "purchase", "properties": {"revenue": value}}
    [refused] = desk.take({"batch": [message]}).refused
    assert refused.code == "property"


@pytest.mark.parametrize(
    ("value", "worth"), [(" 12 ", 12.0), ("1_000", 1000.0), ("1e3", 1000.0), ("\t5\n", 5.0), (1e308, 1e308)]
)
def test_what_duckdb_reads_as_a_number_counts_as_that(desk: Desk, value: object, worth: float) -> None:
    message = {"type": "track", "userId": "u", "event": "purchase", "properties": {"revenue": value}}
    assert desk.take({"batch": [message]}).accepted == 1
    columns = LogColumns(
        Definition.model_validate(DEFINITION | {"events": definition_in(Path()).events.model_dump()}), TYPES
    )
    assert columns.table(desk.log.of_users(["u"]))["revenue"].to_pylist() == [worth]


def test_a_refused_message_is_found_under_the_id_it_is_erased_by(desk: Desk) -> None:
    desk.take(
        {"batch": [{"type": "x", "userId": " u39 "}, {"type": "x", "userId": 42.0}, {"type": "x", "anonymousId": "a"}]}
    )
    assert [letter.user for letter in desk.log.dead_letters()] == ["u39", "42", "a"]


names = st.sampled_from(["type", "userId", "anonymousId", "event", "properties", "traits", "timestamp", "sentAt",
                         "originalTimestamp", "messageId", "batch", "name", "revenue", "plan"])  # fmt: skip
edges = ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "\x00", "\u0661", "1e400", "", " "]
words = ["track", "identify", "page", "visit", "purchase", "2025-03-01T12:00:00Z", *edges]
strings = st.sampled_from(words) | st.text(max_size=12)
numbers = st.integers() | st.floats() | st.sampled_from([10**400, -(10**400), 2**63, 1e308])
leaves = st.none() | st.booleans() | numbers | strings
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names | strings, inner, max_size=6),
    max_leaves=12,
)
messages = st.fixed_dictionaries(
    {"type": st.sampled_from(["track", "identify", "page"]) | values},
    optional={
        "userId": values,
        "event": values,
        "properties": values,
        "traits": values,
        "timestamp": values,
        "sentAt": values,
        "messageId": values,
    },
)
bodies = (
    st.fixed_dictionaries({"batch": st.lists(messages | values, max_size=4) | values}, optional={"sentAt": values})
    | values
)
calls = st.sampled_from(["batch", "track", "identify", "page", "screen", "import"])


class _Kept:
    """Takes what is handed to the disk."""

    def submit(self, messages: list[Any], refused: list[DeadLetter]) -> list[str]:
        for message in messages:
            json.dumps(message.body)
        for letter in refused:
            "".join((letter.reason, letter.body, letter.message_id or "", letter.user or "")).encode()
        return ["accepted"] * len(messages)


def _read(body: object, call: Call) -> None:
    ingest = Ingest(_TRACKING, _Kept())  # type: ignore[arg-type] # stands for the disk
    try:
        read, outcomes = ingest.begin(call, json.dumps(body).encode(), "", NOW)
    except RequestError:
        return
    output = ingest.answer(read, outcomes)  # type: ignore[arg-type]
    output.model_dump_json()
    if read.messages:
        _COLUMNS.table([message for _, message in read.messages])


_TRACKING = tracking()
_COLUMNS = LogColumns(
    Definition.model_validate(DEFINITION | {"events": definition_in(Path()).events.model_dump()}), TYPES
)


@given(bodies, calls)
@settings(max_examples=100)
@example(
    {"batch": [{"type": "track", "userId": "u", "event": "visit", "sentAt": "9999-12-31T23:59:59-23:59"}]}, "batch"
)
@example({"batch": [{"type": "track", "userId": "\ud800", "event": "visit"}]}, "batch")
@example({"batch": [{"type": "track", "userId": "u", "event": "visit", "properties": {"\ud800": 1}}]}, "batch")
def test_any_json_is_taken_or_refused(body: object, call: Call) -> None:
    _read(body, call)


@pytest.mark.nightly
@pytest.mark.long
@given(bodies, calls)
@settings(max_examples=10_000)
def test_ten_thousand_bodies_are_taken_or_refused(body: object, call: Call) -> None:
    _read(body, call)


@given(st.binary(max_size=60), calls, st.sampled_from(["", "gzip", "identity", "br", "\xff"]))
def test_any_bytes_are_taken_or_refused(body: bytes, call: Call, encoding: str) -> None:
    ingest = Ingest(_TRACKING, _Kept())  # type: ignore[arg-type]
    for sent in (body, gzip.compress(body)):
        with suppress(RequestError):
            ingest.begin(call, sent, encoding, NOW)
