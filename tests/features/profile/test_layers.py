"""A bucket's files hold what a dictionary would: the newest row of each user, whatever was merged with what."""

from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from features.errors import StoreError
from features.profile.layers import SCHEMA, Layers, nobody
from features.system.files.places import Place

#: of each run: who changes, and to what; None: the user is no longer there
runs = st.lists(
    st.dictionaries(st.sampled_from([f"u{i}" for i in range(12)]), st.integers(0, 99) | st.none(), min_size=1),
    min_size=1, max_size=8,
)  # fmt: skip


def rows_of(changes: dict[str, int | None], run: int) -> pa.Table:
    there = {user: n for user, n in changes.items() if n is not None}
    values = [None if n % 7 == 0 else bytes([n]) for n in there.values()]
    rows = pa.table([list(there), [run] * len(there), list(there.values()), values], schema=SCHEMA)
    return pa.concat_tables([rows, nobody([user for user, n in changes.items() if n is None], run)])


def read(rows: pa.Table) -> dict[str, tuple[int, bytes | None]]:
    users, ahead, values = (rows[name].to_pylist() for name in ("user", "ahead", "profile"))
    assert len(set(users)) == len(users)
    return dict(zip(users, zip(ahead, values, strict=True), strict=True))


@hypothesis_settings(max_examples=60)
@given(runs, st.integers(0, 30), st.sets(st.sampled_from([f"u{i}" for i in range(14)])))
def test_the_newest_rows_are_read(
    tmp_path_factory: pytest.TempPathFactory, changes: list[dict[str, int | None]], bucket: int, some: set[str]
) -> None:
    files, expected = Layers(Place(str(tmp_path_factory.mktemp("layers"))), bucket), dict[str, int]()
    for run, changed in enumerate(changes):
        files = files.with_rows(rows_of(changed, run), f"run-{run}")
        expected |= {user: n for user, n in changed.items() if n is not None}
        expected = {user: n for user, n in expected.items() if changed.get(user, n) is not None}
        whole = {user: (n, None if n % 7 == 0 else bytes([n])) for user, n in expected.items()}
        assert read(files.rows()) == whole
        assert read(files.rows_of(some)) == {user: row for user, row in whole.items() if user in some}
        assert dict(zip(files.index["user"].to_pylist(), files.index["ahead"].to_pylist(), strict=True)) == expected
        assert set(files.waiting(50)) == {user for user, n in expected.items() if n <= 50}


def test_a_day_writes_its_users_and_layers_stay_few(tmp_path: Path) -> None:
    """A row is written as often as layers double, and once more with its base, which is written when it must be."""
    everybody = {f"u{i:04d}": 1 for i in range(2_000)}
    files = Layers(Place(str(tmp_path)), 0).with_rows(rows_of(dict(everybody), 0), "run-000")
    written, most = 0, 0
    for run in range(1, 101):
        changed = {f"u{(37 * (10 * run + i)) % 2_000:04d}": run for i in range(10)}
        files = files.with_rows(rows_of(dict(changed), run), f"run-{run:03d}")
        written += pl.read_parquet(tmp_path / files.names[-1]).height
        most = max(most, len(files.names))
    assert most <= 7
    assert written < 100 * 2_000 / 10


def test_rows_of_a_few_users_are_found_in_many_groups(tmp_path: Path) -> None:
    everybody = {f"u{i:04d}": i % 99 for i in range(3_000)}
    files = Layers(Place(str(tmp_path)), 0).with_rows(rows_of(dict(everybody), 0), "run-0")
    asked = ["u2999", "u0000", "u0511", "u0512", "u1700", "nobody"]
    found = read(files.rows_of(asked))
    assert {user: ahead for user, (ahead, _) in found.items()} == {user: everybody[user] for user in asked[:-1]}


def test_a_damaged_layer_is_named(tmp_path: Path) -> None:
    files = Layers(Place(str(tmp_path)), 0).with_rows(rows_of({f"u{i}": 1 for i in range(99)}, 0), "run-0")
    files = files.with_rows(rows_of({"u1": 2}, 1), "run-1")
    (tmp_path / "run-1").write_bytes(b"PAR1")
    with pytest.raises(StoreError, match=r"run-1 cannot be read.*propensity materialize"):
        files.rows()
