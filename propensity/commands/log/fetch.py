"""The command that fetches what is new at the sources of a log."""

from propensity.console import ShownSteps, out, progress
from propensity.options import DefinitionFile, opened


def fetch(definition: DefinitionFile = None) -> None:
    """Fetch what is new at the log's sources into its folder; every command that reads the log does so first."""
    from features.errors import PropensityError
    from features.event_store.warnings import warn_of_fetched
    from features.sources.fetch import fetch as fetch_all

    rules, settings = opened(definition)
    if not rules.events.sources:
        raise PropensityError(
            f"{rules.name} has no sources: its log is the files at events.path.",
            fix="name databases, buckets or tables in events.sources",
        )
    with progress() as bars:
        done = fetch_all(rules, settings, ShownSteps(bars))
    for one in done:
        removed = f", {one.removed:,} files removed that the source has no more" if one.removed else ""
        out.print(f"{one.source}: {one.rows:,} rows{removed}", highlight=False)
        warn_of_fetched(one)
