"""A kept file that cannot be read is told by name, with what makes it anew."""

from pathlib import Path

import pytest

from features.errors import StoreError
from features.log.messages import LogColumns, columns_path
from features.profiles import Profiles
from serving.live.history import History
from tests.conftest import Settings
from tests.features.log.logs import definition_in

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
