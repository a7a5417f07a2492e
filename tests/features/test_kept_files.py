"""A kept file that cannot be read is told by name, with what makes it anew."""

from pathlib import Path

import pytest

from features.errors import EventLogError, StoreError
from features.log.messages import LogColumns, columns_path
from features.log.source import EventLog
from features.log.store import EventStore
from features.profiles import Profiles
from serving.earlier import Earlier
from serving.live.history import History
from tests.conftest import Settings
from tests.features.log.logs import definition_in, put, random_rows

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
        with pytest.raises(StoreError, match=r"cannot be read: .*propensity score --as-of 2026-03-01T01:00:00Z makes"):
            read()
