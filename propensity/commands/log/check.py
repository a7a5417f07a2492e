"""Commands that look at a definition before anything is trained."""

import json
import logging
from typing import Annotated

import typer

from propensity.console import ShownSteps, out, progress
from propensity.options import AsJson, DefinitionFile, Ends, opened, parse_instant


def check(
    definition: DefinitionFile = None,
    ends: Ends = None,
    verbose: Annotated[bool, typer.Option("--verbose", "--weeks", help="show all weeks")] = False,
    strict: Annotated[bool, typer.Option(help="end with 1 where there is a warning")] = False,
    as_json: AsJson = False,
) -> None:
    """Check the definition against the log, and preview what a model could learn.

    Ends with 0 when something can be trained, 1 when no outcome can be learnt (with --strict also when there is a
    warning), 2 on an error.
    """
    from features.open_log import open_looked_at
    from propensity.preview.page import WEEKS, preview

    logging.getLogger("propensity.log").setLevel(logging.ERROR)  # the page shows the warnings

    rules, settings = opened(definition)
    with progress() as bars:
        steps = ShownSteps(bars)
        store, look = open_looked_at(rules, settings, ends=parse_instant(ends, "--ends"), steps=steps)
        found = preview(store, look, steps, weeks_shown=None if verbose else WEEKS)
    if as_json:
        typer.echo(json.dumps(found.content, indent=1))
    else:
        out.print(*found.page, sep="\n")
    if not found.learnable or (strict and (found.warnings or found.problems)):
        raise typer.Exit(1)


def packs(
    name: Annotated[str | None, typer.Argument(help="show only this pack")] = None,
    definition: DefinitionFile = None,
) -> None:
    """Show each state and segment with its playbook, and the entries of included packs that cannot apply."""
    from propensity.tables import packs as shown

    out.print(*(shown.playbooks(opened(definition)[0]) if name is None else shown.pack(name)), sep="\n")
