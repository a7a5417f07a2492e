"""Tables of lakes, Delta and Iceberg: the data files of their newest version, each made into one file of the log."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from features.definition.sections.log.sources import DeltaSource, IcebergSource
from features.sources.answers import answering, expanded
from features.sources.files import Remote, follow
from features.sources.parts import BATCH, Fetched, Parts
from features.system.progress import Steps

#: a data file of a table never changes
_WRITTEN = "as written"


class Delta:
    """A Delta table.

    Args:
        source: says which.
        folder: where relative paths start.
        parts: what was fetched of it.
    """

    def __init__(self, source: DeltaSource, folder: Path, parts: Parts) -> None:
        url = expanded(source.url)
        self._url, self._parts = url if "://" in url else str((folder / url).absolute()), parts

    def fetch(self, steps: Steps) -> Fetched:
        """Fetch the data files that are new in the newest version; what was made of files that left it is removed.

        Raises:
            UnavailableError: the table cannot be read.
        """
        with answering(self._parts.mapping.place, self._url, extra="delta"):
            from deltalake import DeltaTable

            table = DeltaTable(self._url).to_pyarrow_dataset()
            fragments = list(table.get_fragments())
        there = [
            Remote(fragment.path, _WRITTEN, partial(self._rows, fragment, table.schema))
            for fragment in sorted(fragments, key=lambda fragment: fragment.path)
        ]
        return follow(self._parts, there, steps, keep=False)

    def _rows(self, fragment: Any, schema: pa.Schema) -> pa.RecordBatchReader:
        needed = self._parts.mapping.needs(schema.names)
        with answering(self._parts.mapping.place, self._url, extra="delta"):
            return fragment.scanner(schema=schema, columns=needed, batch_size=BATCH).to_reader()


class Iceberg:
    """An Iceberg table.

    Args:
        source: says which.
        parts: what was fetched of it.
    """

    def __init__(self, source: IcebergSource, parts: Parts) -> None:
        self._source, self._parts = source, parts

    def fetch(self, steps: Steps) -> Fetched:
        """Fetch the data files that are new in the current snapshot; what was made of files that left it is removed.

        Raises:
            UnavailableError: the table cannot be read.
        """
        with self._answers():
            from pyiceberg.catalog import load_catalog
            from pyiceberg.utils.config import Config

            name = self._source.catalog
            # pyiceberg itself reads the environment only once, when it is imported
            table = load_catalog(name, **(Config().get_catalog_config(name) or {})).load_table(self._source.table)
            names = [field.name for field in table.schema().fields]
            scan = table.scan(selected_fields=tuple(self._parts.mapping.needs(names)))
            tasks = list(scan.plan_files())
        there = [Remote(task.file.file_path, _deleted(task), partial(self._rows, table, scan, task)) for task in tasks]
        return follow(self._parts, sorted(there, key=lambda one: one.of), steps, keep=False)

    def _rows(self, table: Any, scan: Any, task: Any) -> pa.RecordBatchReader:
        from pyiceberg.io.pyarrow import ArrowScan, schema_to_pyarrow

        reading = ArrowScan(table.metadata, table.io, scan.projection(), scan.row_filter, scan.case_sensitive)
        schema = schema_to_pyarrow(scan.projection())

        def batches() -> Iterator[pa.RecordBatch]:
            with self._answers():
                for batch in reading.to_record_batches([task]):
                    yield pa.RecordBatch.from_arrays(batch.cast(schema).columns, schema=schema)

        return pa.RecordBatchReader.from_batches(schema, batches())

    def _answers(self) -> AbstractContextManager[None]:
        return answering(self._parts.mapping.place, "", extra="iceberg")


def _deleted(task: Any) -> str:
    """Tells whether rows of a data file were deleted since: files of deletions lie beside it."""
    return " without ".join([_WRITTEN, *sorted(file.file_path for file in task.delete_files)])
