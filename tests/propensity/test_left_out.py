"""Rows that are left out of a log: `propensity check` shows some of them, by reason."""

from pathlib import Path

import polars as pl

from propensity.preview.page import Preview
from tests.propensity.logs import case_with, checked, daily, rows_of, run


def some_left_out(folder: Path, **events: object) -> Path:
    """Rows that are left out for each reason there is."""
    times, users, names = daily(80), [f"u{i % 20}" for i in range(320)], ["view"] * 320
    users[3], users[4] = "", " "
    times[10], times[11], times[12], times[13] = "1975-01-01 00:00:00", "garbage", "", "2026-05-01 00:00:00"
    names[20] = names[21] = names[22] = names[23] = "push_sent"
    rows = rows_of(times, user_id=users, event=names)
    return case_with(folder, rows, exclude=["user_id = 'u7'"], **events)


LEFT_OUT = {
    "no user": [None, None], "no or unreadable time": ["u11", "u12"], "implausible time": ["u10"],
    "excluded user": ["u7"] * 3, "no signal": ["u0", "u1", "u2"], "at or after the declared end": ["u13"],
}  # fmt: skip


def users_left_out(found: Preview) -> dict[str, list[str | None]]:
    left = found.content["left_out"]
    assert isinstance(left, dict)
    return {reason: [(row["user"] or "").strip() or None for row in some] for reason, some in left.items()}


def test_rows_left_out_are_shown_by_reason_with_three_examples(tmp_path: Path) -> None:
    file = some_left_out(tmp_path)
    _, found = checked(file, tmp_path / "var")
    assert users_left_out(found) == LEFT_OUT
    left = found.content["left_out"]
    assert isinstance(left, dict)
    assert left["no or unreadable time"][0] == {
        "user": "u11", "event": "view", "time": "garbage", "file": "events.csv"
    }  # fmt: skip
    done = run("-d", str(file), home=tmp_path / "var")
    assert "Some of the rows left out" in done.stdout
    assert "garbage" in done.stdout
    for kept in (tmp_path / "var").rglob("manifest.json"):
        assert '"u7"' not in kept.read_text(), "examples are looked up, not kept"


def test_examples_are_of_files_that_were_taken_in_before_too(tmp_path: Path) -> None:
    file = some_left_out(tmp_path, path="*.csv")
    checked(file, tmp_path / "var")
    more = rows_of(daily(3), user_id=["late"] * 12, event=["odd"] * 12)
    more.write_csv(tmp_path / "later.csv")
    _, found = checked(file, tmp_path / "var")
    assert users_left_out(found) == LEFT_OUT
    rows = found.content["rows"]
    assert isinstance(rows, dict)
    assert rows["no signal"] == 16


def test_erased_users_are_no_examples(tmp_path: Path) -> None:
    file = some_left_out(tmp_path)
    store, _ = checked(file, tmp_path / "var")
    store.erase(["u0", "u11"])
    _, found = checked(file, tmp_path / "var")
    users = users_left_out(found)
    assert users["no or unreadable time"] == ["u12"]
    assert users["no signal"] == ["u1", "u2", "u3"]


def test_ids_that_a_number_with_a_fraction_rounds_are_refused_with_the_column_a_count_and_examples(
    tmp_path: Path,
) -> None:
    ids = [float(2**53 + 2 * (i % 20)) if i % 4 == 0 else float(i % 20) for i in range(320)]
    file = case_with(tmp_path, rows_of(daily(1)), path="log.parquet")
    rows_of(daily(80), user_id=ids).cast({"amount": pl.Float64}).write_parquet(tmp_path / "log.parquet")
    done = run("-d", str(file), home=tmp_path / "var")
    assert done.returncode == 2
    assert "80 of 320 values (25.0%) of user in column 'user_id' are numbers so large" in done.stderr
    assert "'9007199254740992.0' in log.parquet" in done.stderr
    assert "store ids as text or whole numbers" in done.stderr
