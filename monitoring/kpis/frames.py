"""KPIs as tables, one row a day, period or cohort."""

from collections.abc import Iterable

import polars as pl

from serving.published.kpis import Audience, Group


def days(groups: Iterable[Group]) -> pl.DataFrame:
    """Columns ``group, day, daily, weekly, monthly, stickiness``."""
    schema = {"group": pl.String, "day": pl.Date, "daily": pl.Int64, "weekly": pl.Int64, "monthly": pl.Int64,
              "stickiness": pl.Float64}  # fmt: skip
    rows = [(one.name, *day.model_dump().values()) for one in groups for day in one.days]
    return pl.DataFrame(rows, schema=schema, orient="row")


def periods(groups: Iterable[Group]) -> pl.DataFrame:
    """Columns ``group, starts, active, new, retained, resurrected, lost, value, value_per_user``.

    Then ``<outcome>_users`` and ``<outcome>_rate`` of each outcome.
    """
    counts = dict.fromkeys(("active", "new", "retained", "resurrected", "lost"), pl.Int64)
    schema: dict[str, type[pl.DataType]] = {"group": pl.String, "starts": pl.Date, **counts}
    schema |= {"value": pl.Float64, "value_per_user": pl.Float64}
    rows: list[dict[str, object]] = []
    for one in groups:
        for period in one.periods:
            row = {"group": one.name, **period.model_dump(exclude={"outcomes"})}
            for name, rate in period.outcomes.items():
                row |= {f"{name}_users": rate.users, f"{name}_rate": rate.rate}
                schema |= {f"{name}_users": pl.Int64, f"{name}_rate": pl.Float64}
            rows.append(row)
    return pl.DataFrame(rows, schema=schema)


def cohorts(groups: Iterable[Group]) -> pl.DataFrame:
    """Columns ``group, starts, users, age, retained``: the share of a cohort that is active so many periods later."""
    rows = [
        (one.name, cohort.starts, cohort.users, age, share)
        for one in groups
        for cohort in one.cohorts
        for age, share in enumerate(cohort.retained)
    ]
    schema = {"group": pl.String, "starts": pl.Date, "users": pl.Int64, "age": pl.Int64, "retained": pl.Float64}
    return pl.DataFrame(rows, schema=schema, orient="row")


def audiences(found: Iterable[Audience]) -> pl.DataFrame:
    """Columns ``audience, day, size, entered, left, rate``."""
    rows = [(one.name, *day.model_dump().values()) for one in found for day in one.days]
    counts = dict.fromkeys(("size", "entered", "left"), pl.Int64)
    schema = {"audience": pl.String, "day": pl.Date, **counts, "rate": pl.Float64}
    return pl.DataFrame(rows, schema=schema, orient="row")


def states(found: Iterable[Audience]) -> pl.DataFrame:
    """Columns ``state, starts, entered, others, rate``."""
    rows = [(one.name.partition(".")[2], *each.model_dump().values()) for one in found for each in one.periods]
    schema = {"state": pl.String, "starts": pl.Date, "entered": pl.Int64, "others": pl.Int64, "rate": pl.Float64}
    return pl.DataFrame(rows, schema=schema, orient="row")
