"""Where the rows of a log come from when they are not files on this machine."""

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from features.definition.sections.base import Span, Sql, Strict
from features.time import HOUR

#: a password, a token or a key that stands in an address
_PASSWORD = re.compile(r"://[^/@]*:(?!\$\{)[^/@]+@|[?&]\w*(token|password|secret|key)\w*=(?!\$\{)", re.IGNORECASE)


def _secret(url: str) -> str:
    if _PASSWORD.search(url):
        raise ValueError("the address holds a password; write ${NAME} in its place, and set NAME in the environment")
    return url


Address = Annotated[str, Field(min_length=1), AfterValidator(_secret)]


class _Source(Strict):
    """What all sources share.

    Attributes:
        columns: the columns that are fetched, as SQL over those of the source; without it, the ones that the definition
            uses, under their names.
        where: which rows are fetched; all of them when left out.
    """

    columns: dict[str, Sql] = Field(default_factory=dict)
    where: Sql | None = None


class DatabaseSource(_Source):
    """A table of a database, fetched by arrival.

    Attributes:
        kind: ``database``.
        url: its address, as ``postgresql://…``, ``bigquery://…``, ``snowflake://…``, ``clickhouse://…`` or
            ``databricks://…``; ``${NAME}`` comes from the environment, so that secrets stay out of this file.
        table: the table, as the database spells it: ``schema.table``.
        overlap: how long before the newest row that was fetched the next fetch begins; rows that were fetched before
            are not taken again. Longer than the database's longest transaction.
    """

    kind: Literal["database"]
    url: Address
    table: Annotated[str, Field(min_length=1)]
    overlap: Span = HOUR


class FilesSource(_Source):
    """Files in a bucket or on this machine, each fetched once, again when it has changed.

    Attributes:
        kind: ``files``.
        url: ``s3://…``, ``gs://…``, ``abfs://…``, or a path; a file, a folder, or a pattern with ``*``.
        like: the importer that reads them, by name or as a YAML file; without it, they are Parquet.
    """

    kind: Literal["files"]
    url: Address
    like: str | None = None

    @model_validator(mode="after")
    def _one_mapping(self) -> Self:
        if self.like is not None and (self.columns or self.where is not None):
            raise ValueError("'columns' and 'where' are the importer's where there is 'like'")
        return self


class DeltaSource(_Source):
    """A Delta table, at its newest version.

    Attributes:
        kind: ``delta``.
        url: ``s3://…``, ``gs://…``, ``abfss://…``, or a path.
    """

    kind: Literal["delta"]
    url: Address


class IcebergSource(_Source):
    """An Iceberg table, at its current snapshot.

    Attributes:
        kind: ``iceberg``.
        table: the table, as ``namespace.table``.
        catalog: the catalog's name; the environment says where it is (``PYICEBERG_CATALOG__NAME__URI``).
    """

    kind: Literal["iceberg"]
    table: Annotated[str, Field(min_length=1)]
    catalog: str = "default"


Source = Annotated[DatabaseSource | FilesSource | DeltaSource | IcebergSource, Field(discriminator="kind")]
