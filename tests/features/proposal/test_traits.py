"""A table of users' attributes: found beside the log, or named, and described as the definition needs it."""

from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

from features.definition import load_definition
from features.errors import EventLogError
from features.events.compacted import NONE
from features.proposal.asking import Nobody
from features.proposal.draft import Draft, draft
from features.proposal.given import Given
from features.traits import read_traits
from tests.features.proposal.shop import BEGAN, shop

NOTHING = Given(None, {}, None, "utf-8")


def people(users: int = 150, first: int = 0) -> pl.DataFrame:
    """A table of users as a shop keeps it."""
    numbers = range(first, first + users)
    return pl.DataFrame(
        {
            "customer_id": [f"c{n}" for n in numbers],
            "updated_at": [BEGAN + timedelta(days=n % 30) for n in numbers],
            "created_at": [BEGAN for _ in numbers],
            "email": [f"c{n}@example.com" for n in numbers],
            "plan": ["free" if n % 3 else "pro" for n in numbers],
            "kids_count": [n % 3 for n in numbers],
            "marital_status": ["single" if n % 2 else "married" for n in numbers],
            "account_status": ["open" if n % 5 else "closed" for n in numbers],
            "last_channel": ["web" if n % 2 else "app" for n in numbers],
            "segments": ["a" if n % 2 else "b" for n in numbers],
        }
    )


def proposed(folder: Path, given: Given = NOTHING) -> Draft:
    shop().write_parquet(folder / "log.parquet")
    return draft("mine", "log.parquet", folder, given)


def read(found: Draft, folder: Path) -> pl.DataFrame:
    """The traits as the proposed definition reads them."""
    (folder / "mine.yaml").write_text(found.text)
    return read_traits(load_definition(folder / "mine.yaml"), NONE)


def test_a_table_of_users_beside_the_log_is_proposed_with_its_reason(tmp_path: Path) -> None:
    people().write_parquet(tmp_path / "customers.parquet")
    found = proposed(tmp_path)
    assert found.traits is not None
    assert found.traits.user == "customer_id"
    assert found.traits.known == "updated_at", "what a row says was not known when the user was created"
    assert found.traits.fields == ["plan", "kids_count", "marital_status"]
    assert found.traits.left == ["account_status", "last_channel"]
    assert "traits:   # 100% of its 150 users are in the log" in found.text
    assert "may say what happened later: account_status, last_channel" in found.text
    traits = read(found, tmp_path)
    assert traits.height == 150
    assert set(traits["plan"]) == {"free", "pro"}


@pytest.mark.parametrize("name", ["users.csv", "shop_users.csv", "Accounts.csv", "traits/part.csv"])
def test_it_may_be_of_any_kind_and_a_folder(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    people().with_columns(pl.col("updated_at").dt.strftime("%Y-%m-%d")).write_csv(tmp_path / name)
    found = proposed(tmp_path)
    assert found.traits is not None
    assert read(found, tmp_path).height == 150


def test_beside_a_folder_or_a_pattern_it_is_found_too(tmp_path: Path) -> None:
    (tmp_path / "events").mkdir()
    shop().write_parquet(tmp_path / "events/one.parquet")
    people().write_parquet(tmp_path / "users.parquet")
    people().write_parquet(tmp_path / "events/_users.parquet")
    found = draft("mine", "events", tmp_path, NOTHING)
    assert found.traits is not None
    assert found.traits.path == "users.parquet"
    (tmp_path / "events/_users.parquet").rename(tmp_path / "events/members.parquet")
    found = draft("mine", "events/o*.parquet", tmp_path, NOTHING)
    assert found.traits is not None
    assert found.traits.path == "events/members.parquet"


@pytest.mark.parametrize("unfit", ["other people", "no time", "no traits", "other name", "damaged"])
def test_what_does_not_fit_is_not_proposed(tmp_path: Path, unfit: str) -> None:
    name = "stock.parquet" if unfit == "other name" else "users.parquet"
    frame = people(first=120 if unfit == "other people" else 0)
    if unfit == "no time":
        frame = frame.drop("updated_at", "created_at")
    if unfit == "no traits":
        frame = frame.select("customer_id", "updated_at", "email")
    frame.write_parquet(tmp_path / name)
    if unfit == "damaged":
        (tmp_path / name).write_bytes(b"PAR1")
    found = proposed(tmp_path)
    assert found.traits is None
    assert "traits" not in found.text


def test_the_users_table_of_a_warehouse_is_taken_where_it_is_named(tmp_path: Path) -> None:
    frame = people().rename({"customer_id": "id", "updated_at": "received_at"}).drop("created_at")
    frame.write_parquet(tmp_path / "warehouse.parquet")
    found = proposed(tmp_path, Given(None, {}, None, "utf-8", "warehouse.parquet"))
    assert found.traits is not None
    assert (found.traits.user, found.traits.known) == ("id", "received_at")
    assert read(found, tmp_path).height == 150


def test_times_that_are_numbers_have_their_unit(tmp_path: Path) -> None:
    people().with_columns(pl.col("updated_at").dt.epoch("ms")).drop("created_at").write_parquet(
        tmp_path / "users.parquet"
    )
    found = proposed(tmp_path)
    assert found.traits is not None
    assert found.traits.unit == "ms"
    assert read(found, tmp_path)["known"].min() == BEGAN


@pytest.mark.parametrize(
    ("without", "message"),
    [(["customer_id"], "no column of t.csv holds users of the log"),
     (["updated_at", "created_at"], "no column of t.csv says when its rows became known")],
)  # fmt: skip
def test_a_named_table_that_lacks_something_is_refused_with_what_there_is(
    tmp_path: Path, without: list[str], message: str
) -> None:
    people().drop(without).write_csv(tmp_path / "t.csv")
    with pytest.raises(EventLogError, match=message) as caught:
        proposed(tmp_path, Given(None, {}, None, "utf-8", "t.csv"))
    assert "marital_status" in caught.value.fix


def test_who_is_asked_may_refuse_it(tmp_path: Path) -> None:
    class Refusing(Nobody):
        def traits(self, path: str, why: str) -> bool:
            assert path == "users.parquet"
            assert why == "100% of its 150 users are in the log"
            return False

    people().write_parquet(tmp_path / "users.parquet")
    shop().write_parquet(tmp_path / "log.parquet")
    assert draft("mine", "log.parquet", tmp_path, NOTHING, Refusing()).traits is None


def test_a_folder_that_holds_both_is_not_read_as_one_log(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    shop().write_parquet(tmp_path / "data/events.parquet")
    people().write_parquet(tmp_path / "data/users.parquet")
    with pytest.raises(EventLogError, match=r"holds users.parquet, a table of users by its name") as caught:
        draft("mine", "data", tmp_path, NOTHING)
    assert "data/events.parquet" in caught.value.fix
    found = draft("mine", "data/events.parquet", tmp_path, NOTHING)
    assert found.traits is not None
    assert found.traits.path == "data/users.parquet"
