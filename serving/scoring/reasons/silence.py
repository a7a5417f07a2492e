"""How many users are given no answer, and why: in words."""

import polars as pl

#: what each reason of the record says; other reasons are codes of errors, and are shown as they are
WORDS = {
    "outside_population": "not asked about (outside 'among')",
    "short_history": "known for too short a time",
    "stale_profile": "with a profile that is too old",
    "outside_trained_range": "too far outside what the model was fitted on",
    "no_model": "without a model",
}


def silence(counts: pl.DataFrame, outcome: str, users: int) -> str | None:
    """Say in one sentence how many users an outcome has no answer for, by reason; None where all have one.

    Args:
        counts: ``outcome, why, users``.
        outcome: which.
        users: how many there are.
    """
    mine = counts.filter((pl.col("outcome") == outcome) & (pl.col("users") > 0)).sort("users", descending=True)
    if mine.is_empty():
        return None
    parts = [f"{count:,} {WORDS.get(why, why)}" for why, count in mine.select("why", "users").iter_rows()]
    return f"{outcome}: no answer for {mine['users'].sum():,} of {users:,} users: {', '.join(parts)}."
