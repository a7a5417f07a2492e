"""The fields of a row: what an expression names, and the SQL that reads it as text from JSON or from a table."""

from collections.abc import Iterable, Mapping

from sqlglot import exp, parse_one

from features.engines.duckdb import quote, text

#: values of a list of keys and values, when they have several types
_TYPED = ("string_value", "int_value", "float_value", "double_value", "bool_value")


class Fields:
    """The fields that expressions name; each is read into a column of a table of texts.

    Columns are numbered, since SQL tells ``Id`` and ``id`` apart as little as it does ``"Id"`` and ``"id"``.

    Args:
        expressions: SQL over fields.
    """

    def __init__(self, expressions: Iterable[str]) -> None:
        self.paths: dict[str, list[str]] = {}
        for sql in expressions:
            for column in parse_one(sql, read="duckdb").find_all(exp.Column):
                path = [part.name for part in column.parts]
                self.paths.setdefault(".".join(path), path)
        self.columns = {name: f"f{i}" for i, name in enumerate(self.paths)}

    def over(self, sql: str) -> str:
        """An expression over the columns, instead of the fields."""

        def column_of(node: exp.Expression) -> exp.Expression:
            if isinstance(node, exp.Column):
                return exp.column(self.columns[".".join(part.name for part in node.parts)])
            return node

        replaced: str = parse_one(sql, read="duckdb").transform(column_of).sql("duckdb")
        return replaced


def of_json(root: str, path: list[str], lists: Iterable[str]) -> str:
    """SQL that reads a field of a JSON value as text.

    Args:
        root: the JSON value.
        path: the names of the field, the outermost first.
        lists: fields that are lists of keys and values.
    """
    if path[0] in lists and len(path) > 1:
        return _listed(f"json_extract({root}, {_at(path[:1])})", ".".join(path[1:]))
    return f"json_extract_string({root}, {_at(path)})"


def of_table(path: list[str], types: Mapping[str, str], lists: Iterable[str]) -> str:
    """SQL that reads a field of a table as text; NULL where the table has no such column.

    Args:
        path: the names of the field: a column, and what is inside of it.
        types: the table's columns with DuckDB's types.
        lists: columns that are lists of keys and values.
    """
    whole = ".".join(path)
    if whole in types:
        return _text(quote(whole), types[whole])
    name = next((n for n in types if n == path[0]), next((n for n in types if n.lower() == path[0].lower()), None))
    if name is None:
        return "NULL::VARCHAR"
    column, dtype = quote(name), types[name]
    if len(path) == 1:
        return _text(column, dtype)
    inside = f"TRY_CAST({column} AS JSON)" if dtype in ("VARCHAR", "JSON") else f"to_json({column})"
    if path[0] in lists:
        return _listed(inside, ".".join(path[1:]))
    return f"json_extract_string({inside}, {_at(path[1:])})"


def _text(column: str, dtype: str) -> str:
    if dtype in ("DOUBLE", "FLOAT"):  # a program that knows missing values writes whole numbers as 42.0
        whole = f"{column} = floor({column}) AND abs({column}) < 9007199254740992"
        return f"CASE WHEN {whole} THEN CAST(CAST({column} AS BIGINT) AS VARCHAR) ELSE CAST({column} AS VARCHAR) END"
    return f"CAST({column} AS VARCHAR)"


def _listed(pairs: str, key: str) -> str:
    """The value of a key in a JSON list of keys and values."""
    same = f"json_extract_string(pair, '$.key') = {text(key)}"
    value = f"json_extract(list_filter(TRY_CAST({pairs} AS JSON[]), lambda pair: {same})[1], '$.value')"
    typed = ", ".join(f"json_extract_string({value}, '$.{name}')" for name in _TYPED)
    return f"CASE WHEN json_type({value}) = 'OBJECT' THEN COALESCE({typed}) ELSE json_extract_string({value}, '$') END"


def _at(path: list[str]) -> str:
    """A JSON path."""
    return text("$" + "".join('."' + name.replace('"', '\\"') + '"' for name in path))
