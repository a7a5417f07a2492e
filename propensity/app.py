"""The program's commands."""

from typing import Annotated

import typer

from propensity import __version__
from propensity.commands import backup, erase, nightly, prune, score, train, transitions
from propensity.commands.log import check, fetch, imports, init
from propensity.commands.monitoring import experiment, kpis, monitor, recalibrate, uplift
from propensity.commands.service import destinations, live, serve
from propensity.commands.service.dead_letters import letters
from propensity.commands.service.kafka import kafka
from propensity.commands.service.keys import keys

# what a command needs is imported when it runs, so that help comes at once
app = typer.Typer(
    pretty_exceptions_enable=False,
)
app.add_typer(keys, name="keys")
app.add_typer(letters, name="dead-letters")
app.add_typer(destinations.group, name="handoff")
app.add_typer(kafka, name="kafka")
for command in (
    live.worker,
    live.compact,
    live.reconcile,
    live.adopt,
    backup.backup,
    backup.restore,
    erase.erase,
    transitions.transitions,
    transitions.audience,
    transitions.holdout,
    check.check,
    check.packs,
    train.train,
    train.rollback,
    recalibrate.recalibrate,
    score.score,
    monitor.monitor,
    monitor.effect,
    experiment.experiment,
    uplift.uplift,
    kpis.kpis,
    nightly.nightly,
    prune.prune,
):
    app.command()(command)
app.command("init")(init.init)
app.command("import")(imports.import_export)
app.command()(fetch.fetch)
app.command("report")(score.segments_report)
app.command()(live.materialize)
app.command()(serve.serve)
app.command("serve-on", hidden=True)(serve.serve_on)
app.command()(serve.ui)
app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(serve.feast)


@app.callback(invoke_without_command=True)
def begin(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="show the version and exit")] = False,
) -> None:
    """Churn and propensity scores of product event logs."""
    if version:
        typer.echo(f"propensity {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
