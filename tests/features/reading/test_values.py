"""Whether a column takes a value is what DuckDB says, which reads the files."""

from hypothesis import example, given
from hypothesis import strategies as st

from features.engines import duckdb as engine
from features.reading.values import ColumnValues

number_texts = st.text(st.sampled_from("0123456789+-._eExXbonaifINt \t\n"), max_size=12) | st.from_regex(
    r"[+-]?\d{1,20}(\.\d*)?([eE][+-]?\d{1,3})?", fullmatch=True
)


@given(
    number_texts,
    st.sampled_from(["DOUBLE", "FLOAT", "DECIMAL(10, 2)", "TINYINT", "UINTEGER", "BIGINT", "BOOLEAN", "DATE"]),
)
@example("١٢٣", "DOUBLE")
@example("\uff11\uff12", "BIGINT")
@example("Infinity", "DOUBLE")
@example("nan", "DOUBLE")
@example("1" + "0" * 400, "DOUBLE")
@example("1_000", "DOUBLE")
@example(" 12 ", "DOUBLE")
@example("0x1F", "BIGINT")
@example("0x1F", "DOUBLE")
@example("300", "TINYINT")
@example("1.5", "BIGINT")
@example("-0", "UINTEGER")
def test_a_value_is_taken_when_the_column_holds_it(text: str, dtype: str) -> None:
    """What is accepted counts as what was sent; what would be nothing, not finite, or rounded is refused."""
    with engine.connect() as connection:
        query = f"SELECT TRY_CAST($1 AS {dtype}), TRY_CAST($1 AS DOUBLE)"
        [[kept, number]] = connection.execute(query, [text]).fetchall()
    holds = kept is not None and str(kept) not in ("inf", "-inf", "nan")
    if holds and "INT" in dtype and number is not None:
        holds = float(kept) == number
    assert ColumnValues().takes(text, dtype) == holds
