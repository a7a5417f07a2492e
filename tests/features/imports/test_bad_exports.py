"""Exports that cannot be read as they should: counted, refused with what to do, and nothing twice."""

import json
import zipfile
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest

from features.errors import EventLogError, UnavailableError
from features.imports.convert import Converted
from features.imports.importer import Importer, load
from features.imports.job import import_files
from features.system.files.lock import locked
from tests.features.imports.contract import gz, lines

BEGAN = 1_767_261_600
OWN = """
title: our own
user: who
event: what
time: at
columns: {amount: {sql: amount, kind: number}, paid: {sql: paid, kind: truth}}
"""


@pytest.fixture
def own(tmp_path: Path) -> Importer:
    (tmp_path / "own.yaml").write_text(OWN)
    return load(str(tmp_path / "own.yaml"))


def imported(path: Path, importer: Importer, to: Path) -> list[Converted]:
    done = list(import_files([path], importer, to))
    assert all(isinstance(one, Converted) for one in done)
    return done  # type: ignore[return-value]


def rows(count: int, **changed: object) -> list[dict[str, object]]:
    row = {"who": "u1", "what": "a", "at": "2026-01-01T00:00:00Z", "amount": 1.5, "paid": "true"} | changed
    return [row] * count


def test_a_few_values_that_cannot_be_read_are_shown_by_example(own: Importer, tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    broken = 'not json\n{"who": \n'
    file.write_text(lines([*rows(96), *rows(2, amount="1,5"), *rows(2, at="01/02/2026")]) + broken)
    [done] = imported(file, own, tmp_path / "log")
    assert done.rows == 98
    assert done.dropped == {"no time": 2}
    message = " ".join(done.warnings)
    assert "2 of 102 values (2.0%) of line of JSON cannot be read: 'not json' in a.jsonl" in message
    assert "2 of 100 values (2.0%) of amount cannot be read: '1,5' in a.jsonl" in message
    assert "2 of 100 values (2.0%) of time cannot be read: '01/02/2026' in a.jsonl" in message


@pytest.mark.parametrize(
    ("changed", "column"),
    [({"at": "01/02/2026"}, "time"), ({"amount": "1,5"}, "amount"), ({"paid": "perhaps"}, "paid")],
)
def test_too_much_that_cannot_be_read_is_refused(
    own: Importer, tmp_path: Path, changed: dict[str, object], column: str
) -> None:
    (tmp_path / "a.jsonl").write_text(lines([*rows(90), *rows(10, **changed)]))
    with pytest.raises(EventLogError, match=rf"10 of 100 values \(10.0%\) of {column} cannot be read") as caught:
        imported(tmp_path / "a.jsonl", own, tmp_path / "log")
    assert caught.value.code == "unreadable"
    assert caught.value.fix
    assert not list((tmp_path / "log").glob("*.parquet"))


def test_what_was_imported_before_a_refused_file_stays(own: Importer, tmp_path: Path) -> None:
    (tmp_path / "export").mkdir()
    (tmp_path / "export/1.jsonl").write_text(lines(rows(3)))
    (tmp_path / "export/2.jsonl").write_text("no json at all\n" * 30)
    with pytest.raises(EventLogError, match=r"2\.jsonl"):
        imported(tmp_path / "export", own, tmp_path / "log")
    (tmp_path / "export/2.jsonl").write_text(lines(rows(4)))
    done = list(import_files([tmp_path / "export"], own, tmp_path / "log"))
    assert [getattr(one, "rows", 0) for one in done] == [0, 4]
    assert sum(len(pl.read_parquet(file)) for file in (tmp_path / "log").glob("*.parquet")) == 7


def test_a_file_that_changed_takes_the_place_of_what_it_was(own: Importer, tmp_path: Path) -> None:
    file = tmp_path / "day.jsonl"
    for count in (3, 5):
        file.write_text(lines(rows(count)))
        imported(file, own, tmp_path / "log")
        [made] = (tmp_path / "log").glob("*.parquet")
        assert len(pl.read_parquet(made)) == count


def test_what_a_changed_file_was_can_be_imported_from_another(own: Importer, tmp_path: Path) -> None:
    for name, events in (("1.jsonl", rows(3)), ("2.jsonl", rows(1))):
        (tmp_path / name).write_text(lines(events))
        imported(tmp_path / name, own, tmp_path / "log")
    (tmp_path / "1.jsonl").write_text(lines(rows(5)))
    (tmp_path / "3.jsonl").write_text(lines(rows(3)))
    done = list(import_files([tmp_path / f"{n}.jsonl" for n in (1, 2, 3)], own, tmp_path / "log"))
    assert [getattr(one, "rows", "passed over") for one in done] == [5, "passed over", 3]


def test_another_mapping_reads_the_files_again(own: Importer, tmp_path: Path) -> None:
    file = tmp_path / "day.jsonl"
    file.write_text(lines(rows(3)))
    imported(file, own, tmp_path / "log")
    imported(file, own.adding({}, zone="Asia/Tokyo"), tmp_path / "log")
    assert len(list((tmp_path / "log").glob("*.parquet"))) == 1


def test_seconds_and_milliseconds_in_one_file_are_refused(tmp_path: Path) -> None:
    events = [{"event": "a", "properties": {"time": at, "distinct_id": "u"}} for at in (BEGAN, BEGAN * 1000)]
    (tmp_path / "raw.jsonl").write_text(lines(events))
    with pytest.raises(EventLogError, match="1 times are in seconds and 1 in milliseconds"):
        imported(tmp_path / "raw.jsonl", load("mixpanel"), tmp_path / "log")


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.zip", "a.tar.gz", "a.parquet", "a.jsonl.zst"])
def test_a_damaged_file_is_named(own: Importer, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"\x1f\x8b damaged" * 40)
    with pytest.raises(EventLogError, match=name.replace(".", r"\.")):
        imported(tmp_path / name, own, tmp_path / "log")
    assert not [path for path in (tmp_path / "log").iterdir() if path.name != ".lock"]


def test_zstandard_and_one_list_of_json_are_read(own: Importer, tmp_path: Path) -> None:
    with pa.output_stream(str(tmp_path / "a.jsonl.zst"), compression="zstd") as out:
        out.write(lines(rows(2)).encode())
    (tmp_path / "b.json").write_text(" \n" + json.dumps(rows(3)))
    assert [imported(tmp_path / name, own, tmp_path / "log")[0].rows for name in ("a.jsonl.zst", "b.json")] == [2, 3]


def test_a_table_of_other_columns_is_refused(own: Importer, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x,y\n1,2\n")
    with pytest.raises(EventLogError, match="none of the columns") as caught:
        imported(tmp_path / "a.csv", own, tmp_path / "log")
    assert "x, y" in caught.value.fix


def test_a_folder_with_other_files_is_left_alone(own: Importer, tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    pl.DataFrame({"x": [1]}).write_parquet(tmp_path / "log/mine.parquet")
    (tmp_path / "a.jsonl").write_text(lines(rows(1)))
    with pytest.raises(EventLogError, match="was not made by an import"):
        imported(tmp_path / "a.jsonl", own, tmp_path / "log")


def test_two_imports_at_once_are_refused(own: Importer, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(lines(rows(1)))
    with locked(tmp_path / "log"), pytest.raises(UnavailableError, match="another job"):
        imported(tmp_path / "a.jsonl", own, tmp_path / "log")


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        ("title: x\nuser: u\nevent: e\n", "time"),
        ("title: x\nuser: (SELECT 1)\nevent: e\ntime: t\n", "not an expression over the fields"),
        ("title: x\nuser: count(*)\nevent: e\ntime: t\n", "not an expression over the fields"),
        ("title: x\nuser: 'a b c('\nevent: e\ntime: t\n", "cannot be parsed"),
        ("title: x\nuser: u\nevent: e\ntime: t\ncolumns: {time: t}\n", "every import has"),
        ("title: x\nuser: u\nevent: e\ntime: t\nzone: Mars/Base\n", "not a time zone"),
        ("title: [", "not YAML"),
    ],
)
def test_a_mapping_that_cannot_be_meant_is_refused(tmp_path: Path, declared: str, message: str) -> None:
    (tmp_path / "own.yaml").write_text(declared)
    with pytest.raises(EventLogError, match=message):
        load(str(tmp_path / "own.yaml"))


def test_an_unknown_importer_is_reported_with_those_there_are() -> None:
    with pytest.raises(EventLogError, match="no importer 'gtag'") as caught:
        load("gtag")
    assert "ga4" in caught.value.fix


def test_an_expression_that_does_not_fit_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(OWN.replace("user: who", "user: who + 1"))
    (tmp_path / "a.jsonl").write_text(lines(rows(1)))
    with pytest.raises(EventLogError, match=r"a\.jsonl: an expression of the importer for our own does not fit"):
        imported(tmp_path / "a.jsonl", load(str(tmp_path / "own.yaml")), tmp_path / "log")


def test_fields_whose_names_differ_in_case_only_are_two(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(OWN.replace("user: who", "user: COALESCE(Id, id)"))
    events = [{"Id": "u1", "id": "x", "what": "a", "at": "2026-01-01T00:00:00Z"},
              {"id": "u2", "what": "a", "at": "2026-01-01T00:00:01Z"}]  # fmt: skip
    (tmp_path / "a.jsonl").write_text(lines(events))
    imported(tmp_path / "a.jsonl", load(str(tmp_path / "own.yaml")), tmp_path / "log")
    [made] = (tmp_path / "log").glob("*.parquet")
    assert pl.read_parquet(made)["user"].to_list() == ["u1", "u2"]


def test_lines_of_no_order_are_not_made_one(tmp_path: Path) -> None:
    head = "order_id,customer_user,status,order_date,order_total\n"
    orders = "".join(f",{i},completed,2026-01-0{i + 1} 10:00:00,5\n" for i in range(3))
    (tmp_path / "orders.csv").write_text(head + "7,1,completed,2026-01-01 10:00:00,5\n" + orders)
    [done] = imported(tmp_path / "orders.csv", load("woocommerce"), tmp_path / "log")
    assert (done.rows, done.dropped) == (1, {"no order_id": 3})


def test_a_moved_export_read_by_another_mapping_takes_the_place_of_what_was_made_of_it(
    own: Importer, tmp_path: Path
) -> None:
    (tmp_path / "a.jsonl").write_text(lines(rows(3)))
    imported(tmp_path / "a.jsonl", own, tmp_path / "log")
    (tmp_path / "a.jsonl").rename(tmp_path / "moved.jsonl")
    imported(tmp_path / "moved.jsonl", own.adding({}, zone="Asia/Tokyo"), tmp_path / "log")
    assert sum(len(pl.read_parquet(file)) for file in (tmp_path / "log").glob("*.parquet")) == 3


def test_an_archive_with_nothing_to_read_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "export.zip", "w") as archive:
        archive.writestr(".hidden.json", "{}")
    with pytest.raises(EventLogError, match=r"export\.zip holds no file that the importer reads"):
        imported(tmp_path / "export.zip", load("amplitude"), tmp_path / "log")


def test_a_byte_order_mark_is_not_part_of_the_first_columns_name(own: Importer, tmp_path: Path) -> None:
    text = "who;what;at;amount\nu1;a;2026-01-01T00:00:00Z;1,5\n"
    (tmp_path / "a.csv").write_bytes(b"\xef\xbb\xbf" + text.encode())
    imported(tmp_path / "a.csv", own.adding({}, decimal=","), tmp_path / "log")
    [made] = (tmp_path / "log").glob("*.parquet")
    [row] = pl.read_parquet(made).to_dicts()
    assert (row["user"], row["amount"]) == ("u1", 1.5)


@pytest.mark.parametrize("name", ["a [1].jsonl", "a*.jsonl", "what?.jsonl.gz"])
def test_a_name_that_looks_like_a_pattern_is_a_name(own: Importer, tmp_path: Path, name: str) -> None:
    (tmp_path / "export").mkdir()
    (tmp_path / "export/ab.jsonl").write_text(lines(rows(5)))
    text = lines(rows(2))
    if name.endswith(".gz"):
        gz(tmp_path / "export" / name, text)
    else:
        (tmp_path / "export" / name).write_text(text)
    done = {one.file.name: one.rows for one in imported(tmp_path / "export", own, tmp_path / "log")}
    assert done == {"ab.jsonl": 5, name: 2}
