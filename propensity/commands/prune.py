"""The command that removes old scores."""

import json

import typer

from propensity.console import out
from propensity.options import AsJson, DefinitionFile, opened


def prune(definition: DefinitionFile = None, as_json: AsJson = False) -> None:
    """Remove scores of batches that are older than the newest by more than PROPENSITY_SCORES_DAYS.

    The two newest batches stay, and so does each batch that propensity monitor has yet to draw from, or whose outcomes
    have not matured. What the monitor has drawn stays, too. propensity nightly does this at its end.
    """
    from features.system.files.lock import locked, sharing
    from monitoring.predictions.old_scores import OldScores

    rules, settings = opened(definition)
    with (
        sharing(settings.folder(rules.name)),
        locked(settings.monitoring(rules.name)),
        locked(settings.scores(rules.name)),
    ):
        found = OldScores(rules, settings).prune()
    if as_json:
        shown = {"removed": list(map(str, found.removed)), "needed": list(map(str, found.needed)), "kept": found.kept}
        typer.echo(json.dumps(shown, indent=1))
        return
    for path in found.needed:
        out.print(f"{path.name} stays: run propensity monitor, which has yet to draw from it", highlight=False)
    out.print(f"{len(found.removed):,} batches removed, {found.kept:,} kept.", highlight=False)
