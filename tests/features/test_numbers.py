"""Numbers of events beside their main value: keys of properties, whatever kind of file holds them."""

from pathlib import Path

import polars as pl
import pytest
from pydantic import ValidationError

from features.definition import Definition
from features.definition.columns import feature_set
from features.definition.file.load import load_definition
from features.errors import DefinitionError
from features.event_store.store import EventStore
from features.reading.source import EventLog
from features.settings import Settings
from tests.conftest import ROOT
from tests.oracle import key_of
from tests.worlds import definition_of, with_signal

TEXTS = ["7", None, "", "4.0", "x", "1e3"]
MAPPED = {"user": "user_id", "event": "event", "time": "event_time"}


def keys_of(folder: Path, column: pl.Series, kind: str, distinct: object) -> list[int]:
    """The keys that a log of one purchase a row has of a property."""
    n = len(column)
    rows = pl.DataFrame(
        {"user_id": ["a"] * n, "event": ["purchase"] * n,
         "event_time": [f"2025-03-01T00:00:{i:02d}Z" for i in range(n)], "revenue": [1.5] * n, "of": column}
    )  # fmt: skip
    file = folder / f"log.{kind}"
    rows.write_parquet(file) if kind == "parquet" else rows.write_csv(file)
    definition = log_definition(file, distinct)
    store = EventStore.open(EventLog(definition), Settings(home=folder / "var"))
    return store.read().values[:, 1].astype(int).tolist()


def log_definition(file: Path, distinct: object, more: dict[str, str] | None = None) -> Definition:
    events = {"path": str(file), "columns": MAPPED, "ends": "2025-06-01T00:00:00Z"}
    return definition_of(events=events, signals=with_signal("purchase", distinct=distinct, more_values=more or {}))


@pytest.mark.parametrize(
    ("column", "kind", "caught"),
    [
        (pl.Series(TEXTS), "parquet", TEXTS),
        (pl.Series(TEXTS), "csv", TEXTS),
        (pl.Series(["007", "7", "7.0"]), "csv", ["007", "7", "7.0"]),
        (pl.Series([7, None, 2**60 + 1, -3]), "parquet", ["7", None, str(2**60 + 1), "-3"]),
        (pl.Series([7, 2**60 + 1]), "csv", ["7", str(2**60 + 1)]),
        (pl.Series([7.0, None, float("nan"), float("inf"), 0.1 + 0.2, 2.5]), "parquet",
         ["7", None, None, None, "3.00000000000000e-01", "2.50000000000000e+00"]),
        (pl.Series([True, False, None]), "parquet", ["true", "false", None]),
    ],
)  # fmt: skip
def test_a_value_has_one_key_however_it_is_held(
    tmp_path: Path, column: pl.Series, kind: str, caught: list[str | None]
) -> None:
    assert keys_of(tmp_path, column, kind, ["of"]) == [key_of(text) for text in caught]


def test_an_expression_can_be_counted(tmp_path: Path) -> None:
    found = keys_of(tmp_path, pl.Series(["Ab", "aB", "c"]), "csv", {"lower_of": "lower(of)"})
    assert found == [key_of("ab"), key_of("ab"), key_of("c")]


@pytest.mark.parametrize(
    ("distinct", "says"),
    [
        (["nosuch"], "signals.purchase.distinct.nosuch: unknown column 'nosuch'"),
        ({"x": "of +"}, "signals.purchase.distinct.x"),
        ({"x": "(SELECT 1)"}, "signals.purchase.distinct.x"),
        ({"x": "of + 1"}, "signals.purchase.distinct.x"),
        (["whens"], "yields TIMESTAMP"),
    ],
)
def test_what_cannot_be_counted_is_reported(tmp_path: Path, distinct: object, says: str) -> None:
    file = tmp_path / "log.parquet"
    pl.DataFrame(
        {"user_id": ["a"], "event": ["purchase"], "event_time": ["2025-03-01T00:00:00Z"], "revenue": [1.0],
         "of": ["x"], "whens": [None]}, schema_overrides={"whens": pl.Datetime("us", "UTC")},
    ).write_parquet(file)  # fmt: skip
    with pytest.raises(DefinitionError, match=r"^signals\.purchase\.distinct") as caught:
        EventLog(log_definition(file, distinct))
    assert says in str(caught.value)


@pytest.mark.parametrize("distinct", [["of", "of"], [3], ["Of this"], "of", {"x": ""}, {"Ab": "of"}])
def test_what_is_no_list_of_properties_is_reported(distinct: object) -> None:
    with pytest.raises(ValidationError, match="distinct"):
        definition_of(signals=with_signal("purchase", distinct=distinct))


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"items": "nosuch"}, "signals.purchase.more_values.items: unknown column 'nosuch'"),
        ({"items": "of"}, "signals.purchase.more_values.items"),
        ({"items": "of +"}, "signals.purchase.more_values.items"),
        ({"items": "revenue > 1"}, "yields BOOLEAN"),
    ],
)
def test_what_cannot_be_added_up_is_reported(tmp_path: Path, more: dict[str, str], says: str) -> None:
    file = tmp_path / "log.parquet"
    pl.DataFrame(
        {"user_id": ["a"], "event": ["purchase"], "event_time": ["2025-03-01T00:00:00Z"], "revenue": [1.0],
         "of": ["x"]}
    ).write_parquet(file)  # fmt: skip
    with pytest.raises(DefinitionError, match=r"^signals\.purchase\.more_values") as caught:
        EventLog(log_definition(file, {}, more))
    assert says in str(caught.value)


def test_what_no_row_has_counts_as_nothing(tmp_path: Path) -> None:
    file = tmp_path / "log.csv"
    pl.DataFrame(
        {"user_id": ["a"] * 4, "event": ["purchase"] * 4, "revenue": [1.0, 2.0, None, 4.0],
         "event_time": [f"2025-03-01T00:00:{i:02d}Z" for i in range(4)], "items": ["2", None, "NaN", "3"]}
    ).write_csv(file)  # fmt: skip
    log = EventLog(log_definition(file, ["items"], {"items": "items", "margin": "revenue - 1 / items"}))
    values = log.read().values
    assert values[:, 0].tolist() == [1, 2, 0, 4]
    assert values[:, 1].tolist() == [2, 0, 0, 3]
    assert values[:, 2].tolist() == [0.5, 0, 0, pytest.approx(4 - 1 / 3)]


@pytest.mark.parametrize("name", ["count", "active_days", "value", "distinct_product_id"])
def test_a_further_value_has_a_name_of_its_own(tmp_path: Path, name: str) -> None:
    text = (ROOT / "propensity.yaml").read_text()
    more = f"value: revenue, distinct: [product_id], more_values: {{{name}: revenue}}"
    (tmp_path / "propensity.yaml").write_text(text.replace("value: revenue", more, 1))
    with pytest.raises(DefinitionError, match=rf"rename signals\.purchase\.more_values\.{name}"):
        load_definition(tmp_path / "propensity.yaml")


def test_two_columns_of_one_name_are_reported(tmp_path: Path) -> None:
    text = (ROOT / "propensity.yaml").read_text()
    more = "derived:\n  purchase_distinct_product_id_total: purchase_count_7d\n"
    changed = text.replace("value: revenue", "value: revenue, distinct: [product_id]", 1).replace("derived:\n", more)
    assert "distinct" in changed
    (tmp_path / "propensity.yaml").write_text(changed)
    with pytest.raises(DefinitionError, match="purchase_distinct_product_id_total"):
        load_definition(tmp_path / "propensity.yaml")


def test_who_asks_for_nothing_keeps_digests() -> None:
    """As they were before there was anything to ask for: stores and models of today stay what they are."""
    plain = definition_of()
    assert (plain.digest, feature_set(plain).digest) == ("5108c52e", "b54f72a4")
    for more in ({"distinct": ["product_id"]}, {"more_values": {"items": "quantity"}}):
        asked = definition_of(signals=with_signal("purchase", **more))
        assert asked.digest != plain.digest
        assert feature_set(asked).digest != feature_set(plain).digest
