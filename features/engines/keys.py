"""Keys that tell the values of a property apart: 44 bits of their text's MD5, in DuckDB and on Spark alike.

Text counts as it is written. A number counts as what it is, however it is written or stored: whole ones as their
digits, others in 15 digits. Nothing and the empty text have the key 0, and count for nothing.
"""

from features.user_id import EXACT

#: bits of a key: with the day on which it was last seen it is one word of a profile
KEY_BITS = 44

#: hexadecimal digits of a key; two of 64 values share one once in 10^10 times
DIGITS = KEY_BITS // 4


def key_sql(sql: str) -> str:
    """DuckDB's SQL of the key of a value of any type, a DOUBLE."""
    number = f"TRY_CAST(({sql}) AS DOUBLE)"
    whole = f"{number} = trunc({number}) AND abs({number}) < {EXACT}"
    text = f"""CASE WHEN typeof({sql}) NOT IN ('DOUBLE', 'FLOAT') AND typeof({sql}) NOT LIKE 'DECIMAL%'
                    THEN CAST(({sql}) AS VARCHAR)
                    WHEN {whole} THEN CAST(TRY_CAST({number} AS BIGINT) AS VARCHAR)
                    WHEN isfinite({number}) THEN printf('%.14e', {number}) END"""
    key = f"CAST('0x' || substr(md5({text}), 1, {DIGITS}) AS BIGINT)"
    return f"CASE WHEN ({text}) <> '' THEN CAST(greatest({key}, 1) AS DOUBLE) ELSE 0.0 END"


def spark_key_sql(sql: str) -> str:
    """The same in Spark's SQL."""
    number = f"CAST(({sql}) AS DOUBLE)"
    whole = f"{number} = floor({number}) AND abs({number}) < {EXACT}"
    text = f"""CASE WHEN typeof({sql}) NOT IN ('double', 'float') AND typeof({sql}) NOT LIKE 'decimal%'
                    THEN CAST(({sql}) AS STRING)
                    WHEN {whole} THEN CAST(CAST({number} AS BIGINT) AS STRING)
                    WHEN abs({number}) < double('inf') THEN format_string('%.14e', {number}) END"""
    key = f"CAST(conv(substring(md5({text}), 1, {DIGITS}), 16, 10) AS DOUBLE)"
    return f"IF(({text}) <> '', greatest({key}, 1D), 0D)"
