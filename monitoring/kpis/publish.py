"""Publishing KPIs: one JSON file, five tables in Parquet, and a page, each whole or as it was."""

from pathlib import Path

import polars as pl

from features.system.files.durable import new_folder, replacing, write_durably
from monitoring.kpis import frames
from monitoring.kpis.page import page
from serving.published.kpis import NAME, Kpis

#: the page in the monitoring folder
PAGE = "kpis.html"


def publish(found: Kpis, folder: Path) -> None:
    """Write ``kpis.json``, ``kpis.html`` and the tables, each as ``kpis.<name>.parquet``.

    Args:
        found: the KPIs.
        folder: the monitoring folder.
    """
    new_folder(folder)
    for name, table in tables(found).items():
        with replacing(folder / f"kpis.{name}.parquet") as fresh:
            table.write_parquet(fresh, compression="zstd")
    write_durably(folder / PAGE, page(found).encode())
    write_durably(folder / NAME, found.model_dump_json(indent=1).encode())


def tables(found: Kpis) -> dict[str, pl.DataFrame]:
    """The tables by name."""
    return {
        "days": frames.days(found.groups), "periods": frames.periods(found.groups),
        "cohorts": frames.cohorts(found.groups), "audiences": frames.audiences(found.audiences),
        "states": frames.states(found.audiences),
    }  # fmt: skip
