"""Write the demo world: ``python -m examples.demo --users 20000``."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated

import numpy as np
import polars as pl
import typer
from rich.console import Console
from rich.progress import track

from examples.demo.simulate import people, simulate, test_users, traits, write_events
from examples.demo.truth import best_answers
from examples.demo.world import DAYS, ENDS, WORLDS, Campaign

CHUNK = 25_000


def main(
    users: Annotated[int, typer.Option(min=10, help="how many users")] = 20_000,
    seed: Annotated[int, typer.Option(help="the same seed writes the same log")] = 7,
    out: Annotated[Path, typer.Option(help="folder of the log")] = Path("data/demo"),
    truth: Annotated[Path, typer.Option(help="folder of the best possible answers")] = Path("data/demo-truth"),
    world: Annotated[str, typer.Option(help=f"how users behave: {', '.join(WORLDS)}")] = "shop",
    campaign: Annotated[
        int | None,
        typer.Option(min=1, max=DAYS - 1, help="send half of the users a message, so many days before the end"),
    ] = None,
) -> None:
    """Write events and traits to OUT, and the Bayes-optimal probabilities to TRUTH, which training never reads.

    With a campaign, TRUTH/campaign.parquet has who was sent the message, and what it adds to each probability.
    """
    if world not in WORLDS:
        raise typer.BadParameter(f"{world!r} is none of {', '.join(WORLDS)}")
    dynamics = WORLDS[world]
    for folder in (out / "events", truth):
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob("*.parquet"):
            old.unlink()
    cutoffs = [ENDS - timedelta(days=d) for d in (21, 35, 49)]
    rows, known, answers, sent = 0, [], [], []
    for part, first in enumerate(track(range(0, users, CHUNK), "demo world", console=Console(stderr=True))):
        rng = np.random.default_rng([seed, part])
        folk = people(rng, first, min(CHUNK, users - first))
        message = None
        if campaign is not None:
            half = np.random.default_rng([seed, part, 1]).random(len(folk.names)) < 0.5
            message = Campaign(DAYS - campaign, half, (seed, part, 2))
        events, seen = simulate(rng, folk, dynamics, message)
        if part == 0:
            events = pl.concat([events, test_users(rng, max(2, users // 400))], how="diagonal")
        rows += write_events(rng, events, out / "events" / f"part-{part:03d}.parquet", part)
        known.append(traits(rng, folk))
        best, effects = best_answers(folk, seen, cutoffs, dynamics, message)
        answers.append(best)
        sent.append(effects)
    pl.concat(known).write_parquet(out / "traits.parquet")
    pl.concat(answers).write_parquet(truth / "truth.parquet")
    if campaign is not None:
        pl.concat(sent).write_parquet(truth / "campaign.parquet")
    Console().print(f"{rows:,} events of {users:,} users in {out}; the log is complete through {ENDS:%Y-%m-%d}")


if __name__ == "__main__":
    typer.run(main)
