"""Files of a folder are read as they were at one moment, whatever takes their place meanwhile."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from features.errors import UnavailableError
from features.system.files import durable, opened
from features.system.files.durable import remove_folder, replace_folder, replacing
from features.system.files.kept_files import reading_table

FILES = 5


def write(folder: Path, run: int) -> None:
    """A folder of some files; each run has more rows, so that no file is where it was in another one."""
    folder.mkdir()
    for i in range(FILES):
        rows = pl.DataFrame({"run": [run] * (run * 1_000), "user": [f"u{i}-{row}" for row in range(run * 1_000)]})
        rows.write_parquet(folder / f"part-{i}.parquet")


def again(folder: Path, run: int) -> None:
    """The next run takes the place of the one before."""
    fresh = folder.with_name("fresh")
    write(fresh, run)
    replace_folder(fresh, folder)


def rows_of(found: opened.OpenedFiles) -> pl.DataFrame:
    return pl.scan_parquet(list(found.files)).group_by("run").agg(pl.len()).collect()


def of_run(run: int) -> pl.DataFrame:
    return pl.DataFrame({"run": [run], "len": [FILES * run * 1_000]}, schema_overrides={"len": pl.UInt32})


@pytest.mark.parametrize("become", [lambda place: again(place, 2), remove_folder], ids=["replaced", "removed"])
@pytest.mark.parametrize("can", [True, False], ids=["in one step", "where the file system cannot"])
def test_what_is_open_is_read_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, become: Callable[[Path], None], can: bool
) -> None:
    if not can:
        monkeypatch.setattr(durable, "exchange", lambda *_: False)
    place = tmp_path / "place"
    write(place, 1)
    with opened.opened(place) as found:
        become(place)
        assert rows_of(found).equals(of_run(1))


@pytest.mark.parametrize("after", range(FILES))
def test_a_folder_that_is_replaced_while_it_is_opened_is_opened_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    place, real, steps = tmp_path / "place", os.open, list[str]()
    write(place, 1)

    def open_file(path: str | Path, *given: int, **more: int) -> int:
        if str(path).endswith(".parquet"):
            steps.append(str(path))
            if len(steps) == after + 1:
                again(place, 2)
        return real(path, *given, **more)

    monkeypatch.setattr(os, "open", open_file)
    with opened.opened(place) as found:
        assert rows_of(found).equals(of_run(2))


def test_a_folder_that_is_not_there_says_to_ask_again(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match=r"place is not there any more\. Fix: ask again"):
        opened.stamp_of(tmp_path / "place")


def test_the_moment_with_none_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "place.old", 1)
    write(tmp_path / "fresh", 2)
    monkeypatch.setattr(opened.time, "sleep", lambda _: (tmp_path / "fresh").rename(tmp_path / "place"))
    with opened.opened(tmp_path / "place") as found:
        assert rows_of(found).equals(of_run(2))


def test_a_folder_that_never_comes_back_is_an_error_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "place.old", 1)
    monkeypatch.setattr(opened.time, "sleep", lambda _: None)
    with pytest.raises(UnavailableError, match="keep changing"):
        opened.stamp_of(tmp_path / "place")


def test_another_stamp_for_each_change(tmp_path: Path) -> None:
    place = tmp_path / "place"
    write(place, 1)
    stamps = [opened.stamp_of(place), opened.stamp_of(place)]
    assert stamps[0] == stamps[1]
    again(place, 1)
    stamps.append(opened.stamp_of(place))
    with replacing(place / "part-3.parquet") as fresh:
        shutil.copy2(place / "part-3.parquet", fresh)
    stamps.append(opened.stamp_of(place))
    (place / "part-4.parquet").unlink()
    stamps.append(opened.stamp_of(place))
    assert len(set(stamps)) == 4


def test_a_table_that_is_replaced_while_it_is_read_is_no_damaged_one(tmp_path: Path) -> None:
    write(tmp_path / "one", 1)
    write(tmp_path / "other", 2)
    file = tmp_path / "one" / "part-0.parquet"
    with reading_table(file, fix="write it again") as rows:
        assert rows.collect_schema().names() == ["run", "user"]
        (tmp_path / "other" / "part-0.parquet").replace(file)
        assert rows.collect()["run"].value_counts().rows() == [(1, 1_000)]
    with reading_table(file, fix="write it again") as rows:
        assert rows.collect()["run"].value_counts().rows() == [(2, 2_000)]
