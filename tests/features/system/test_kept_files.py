"""A kept file that cannot be read is named, with what makes it again."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from features.errors import EventLogError, StoreError
from features.event_store.store import EventStore
from features.events.compacted import Compacted
from features.events.tombstones import Tombstones
from features.profile.stored import Profiles
from features.reading.live_messages import LogColumns, columns_path
from features.reading.source import EventLog
from features.system.files.kept_files import sealed, unsealed
from segments.rfm import RfmCuts
from serving.ingest.fold.history import History
from serving.scoring.earlier.batch import Earlier
from tests.conftest import Settings
from tests.features.event_store.logs import definition_in, put, random_rows

DAMAGES = [b"", b"{", b"[]", b"\xff\xfe\x00", b"null", b'{"log": 3}']


@pytest.mark.parametrize("content", DAMAGES)
def test_the_manifest_of_profiles(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "manifest.json").write_bytes(content)
    with pytest.raises(StoreError, match=r"manifest\.json cannot be read: .*propensity materialize"):
        Profiles(definition_in(tmp_path), tmp_path)


@pytest.mark.parametrize("content", [*DAMAGES[:5], b'{"a": {}}'])
def test_the_columns_of_the_log(tmp_path: Path, content: bytes) -> None:
    columns_path(tmp_path).write_bytes(content)
    with pytest.raises(StoreError, match=r"columns\.json cannot be read: .*propensity materialize"):
        LogColumns.load(definition_in(tmp_path), tmp_path)


def test_kept_traits(tmp_path: Path) -> None:
    definition = definition_in(tmp_path)
    history = History(definition, Settings(home=tmp_path / "var"))
    path = history._folder / "traits.parquet"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"PAR1 and no more")
    with pytest.raises(StoreError, match=r"traits\.parquet cannot be read: .*propensity materialize"):
        history.traits(["a"])


def test_a_damaged_file_of_the_log(tmp_path: Path) -> None:
    definition = definition_in(tmp_path)
    put(tmp_path, "a", random_rows(100))
    put(tmp_path, "b", random_rows(100)).write_bytes(b"PAR1 and no more")
    with pytest.raises(EventLogError, match=r"b\.parquet"):
        EventStore.open(EventLog(definition), Settings(home=tmp_path / "var"))


@pytest.mark.parametrize("content", [b"", b"PAR1 and no more"])
def test_earlier_scores(tmp_path: Path, content: bytes) -> None:
    folder = tmp_path / "scores-2026-03-01T010000Z.parquet"
    folder.mkdir()
    (folder / "part-0-0.parquet").write_bytes(content)
    earlier = Earlier.newest(tmp_path)
    assert earlier is not None
    for read in (lambda: earlier.of(["u1"]), lambda: earlier.models(definition_in(tmp_path))):
        with pytest.raises(StoreError, match=r"cannot be read: .*propensity score --as-of 2026-03-01T01:00:00Z writes"):
            read()


TYPES = {"user": "VARCHAR", "event": "VARCHAR", "event_time": "TIMESTAMP WITH TIME ZONE", "revenue": "DOUBLE"}


def with_each_byte_changed(content: bytes) -> Iterator[bytes]:
    """The content with one byte another, for each of its bytes, and cut after each."""
    for at in range(len(content)):
        yield content[:at] + bytes([content[at] ^ 0x15]) + content[at + 1 :]
        yield content[:at]


def test_columns_are_as_they_were_kept_or_refused(tmp_path: Path) -> None:
    definition, path = definition_in(tmp_path), columns_path(tmp_path)
    LogColumns(definition, TYPES).save(tmp_path)
    assert LogColumns.load(definition, tmp_path).types == TYPES
    for changed in with_each_byte_changed(path.read_bytes()):
        path.write_bytes(changed)
        with pytest.raises(StoreError, match=r"columns\.json cannot be read"):
            LogColumns.load(definition, tmp_path)


def test_cut_offs_are_as_they_were_kept_or_refused(tmp_path: Path) -> None:
    cuts = RfmCuts(snapshot="2026-01-01", recency=(1, 2, 3, 4), frequency=(1, 2, 3, 4), money=(0, 1, 2, 3))
    cuts.save(tmp_path / "rfm.json")
    assert RfmCuts.load(tmp_path / "rfm.json") == cuts
    for changed in with_each_byte_changed((tmp_path / "rfm.json").read_bytes()):
        (tmp_path / "rfm.json").write_bytes(changed)
        with pytest.raises(StoreError, match="cut-offs of the RFM groups"):
            RfmCuts.load(tmp_path / "rfm.json")


def test_what_is_compacted_is_as_it_was_kept_or_refused(tmp_path: Path) -> None:
    kept = Compacted(log="abc", position=1234567).save(tmp_path)
    assert kept.position == 1234567
    for changed in with_each_byte_changed((tmp_path / "manifest.json").read_bytes()):
        (tmp_path / "manifest.json").write_bytes(changed)
        with pytest.raises(EventLogError, match="does not name compacted files"):
            Compacted.load(tmp_path)


def test_tombstones_are_as_they_were_kept_or_refused(tmp_path: Path) -> None:
    Tombstones.of(["u1", "u2"]).save(tmp_path)
    assert Tombstones.load(tmp_path).among(["u1", "u2", "u3"]) == {"u1", "u2"}
    path = tmp_path / "erased.json"
    for changed in with_each_byte_changed(path.read_bytes()):
        path.write_bytes(changed)
        with pytest.raises(StoreError, match=r"erased\.json cannot be read: .*restore .*erased\.json from a backup"):
            Tombstones.load(tmp_path)


@pytest.mark.parametrize("content", [b"", b"{", b"null", b"3", b"{}", b'{"marks": 1}', b"[[]]", b'["x"]', b"[1.5]"])
def test_what_are_no_tombstones(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "erased.json").write_bytes(content)
    with pytest.raises(StoreError, match=r"erased\.json cannot be read: .*from a backup"):
        Tombstones.load(tmp_path)


@pytest.mark.parametrize("written", [b'{"a": 1}', b'{\n "a": 1\n}\n', b"{}"])
def test_what_older_versions_wrote_has_no_seal_and_is_taken(written: bytes) -> None:
    assert unsealed(written) == written
    assert json.loads(unsealed(sealed(written.decode()))) == json.loads(written)
