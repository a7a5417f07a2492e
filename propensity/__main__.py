"""The command line."""

import atexit
import errno
import json
import logging
import os
import shutil
import subprocess
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
from rich.markup import escape

from features.errors import PropensityError
from features.system.private import private
from propensity import __version__, backup, handoff, live
from propensity.console import ShownSteps, Warnings, err, out, progress
from propensity.options import AsJson, DefinitionFile, Ends, opened, parse_instant

if TYPE_CHECKING:
    from features.definition import Definition
    from features.settings import Settings
    from serving.scoring.champions import Champions

# what a command needs is imported when it runs, so that help comes at once
app = typer.Typer(
    pretty_exceptions_enable=False,
)
app.add_typer(live.keys, name="keys")
app.add_typer(live.letters, name="dead-letters")
app.add_typer(handoff.group, name="handoff")
for command in (
    live.worker,
    live.compact,
    live.reconcile,
    live.adopt,
    backup.backup,
    backup.restore,
    live.erase,
    handoff.transitions,
    handoff.audience,
    handoff.holdout,
):
    app.command()(command)


WithoutModels = Annotated[
    bool, typer.Option("--without-models", help="continue although models are missing that made the newest scores")
]


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


@app.command()
def check(
    definition: DefinitionFile = None,
    ends: Ends = None,
    verbose: Annotated[bool, typer.Option(help="show all weeks")] = False,
    as_json: AsJson = False,
) -> None:
    """Check the definition against the log, and preview what a model could learn.

    Ends with 0 when something can be trained, 1 when no outcome can be learnt, 2 on an error.
    """
    from features.event_store.open import open_log
    from features.event_store.store import EventStore
    from propensity.preview import WEEKS, preview

    logging.getLogger("propensity.log").setLevel(logging.ERROR)  # the page says it

    rules, settings = opened(definition)
    with progress() as bars:
        steps = ShownSteps(bars)
        log = open_log(rules, settings, ends=parse_instant(ends, "--ends"), steps=steps)
        if not isinstance(log, EventStore):
            raise PropensityError(
                "check works on this machine only.", fix="unset PROPENSITY_ENGINE, or name a part of the log"
            )
        found = preview(log, steps, weeks_shown=None if verbose else WEEKS)
    if as_json:
        typer.echo(json.dumps(found.content, indent=1))
    else:
        out.print(*found.page, sep="\n")
    if not found.learnable:
        raise typer.Exit(1)


@app.command()
def packs(
    name: Annotated[str | None, typer.Argument(help="show only this pack")] = None,
    definition: DefinitionFile = None,
) -> None:
    """Show each state and segment with its playbook, and the entries of included packs that cannot apply."""
    from propensity import packs as shown

    out.print(*(shown.playbooks(opened(definition)[0]) if name is None else shown.pack(name)), sep="\n")


@app.command()
def train(
    definition: DefinitionFile = None,
    ends: Ends = None,
    outcome: Annotated[list[str] | None, typer.Option(help="train only this outcome; can be repeated")] = None,
    tune: Annotated[int, typer.Option(min=0, help="the number of parameter sets to try for each outcome")] = 0,
    force: Annotated[
        str | None,
        typer.Option(
            help="promote even if the gate fails; give the reason, which is kept. The audit cannot be overridden"
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Train, evaluate, audit and register a model for each outcome; a model that passes the gate becomes champion.

    Ends with 0 when a model was promoted, 3 when models were trained and none was promoted, 1 when every outcome was
    refused, 2 on an error.
    """
    from propensity import report, written
    from training.job import train as job

    rules, settings = opened(definition)
    _known(outcome or [], rules)
    if force is not None and not force.strip():
        raise PropensityError("--force without a reason.", fix="say why, it is kept: --force 'champion is stale'")
    with progress() as bars:
        results = job(
            rules, settings, steps=ShownSteps(bars), ends=parse_instant(ends, "--ends"), outcomes=outcome, trials=tune,
            force=force,
        )  # fmt: skip
    if as_json:
        typer.echo(written.results(results, rules))
    else:
        out.print(*report.results(results), sep="\n")
        out.print(*report.places(results), sep="\n", soft_wrap=True, highlight=False)
    if not any(result.promoted for result in results):
        raise typer.Exit(1 if all(result.version is None for result in results) else 3)


@app.command()
def rollback(
    outcome: Annotated[str, typer.Argument(help="the outcome")],
    definition: DefinitionFile = None,
    reason: Annotated[str, typer.Option(help="why; it is kept with the version")] = "",
) -> None:
    """Make an outcome's previous champion the champion again; a running service loads it within seconds."""
    rules, settings = opened(definition)
    _known([outcome], rules)
    from training.registry import Registry  # takes seconds, which a wrong name need not wait for

    was, now = Registry(rules, settings).rollback(outcome, reason)
    out.print(f"{outcome}/{now} is the champion again, in the place of {outcome}/{was}.", highlight=False)


@app.command()
def score(
    definition: DefinitionFile = None,
    as_of: Annotated[
        str | None, typer.Option(help="the instant to score at (UTC), such as 2026-03-01T10:00:00Z")
    ] = None,
    ends: Ends = None,
    reasons: Annotated[
        int,
        typer.Option(
            min=0, max=20, help="the number of reasons per likelihood, and of changes since the earlier scores"
        ),
    ] = 0,
    without_models: WithoutModels = False,
    as_json: AsJson = False,
) -> None:
    """Score every user and write the records to Parquet; by default at the end of the log."""
    from features.event_store.open import open_log
    from features.events.write import part_files
    from features.system.lock import locked, sharing
    from features.time import Clock
    from propensity import report, written
    from segments.rfm_cuts import first_cuts, load_cuts
    from serving.activation.memberships import Memberships
    from serving.activation.transitions import TransitionRecorder
    from serving.database.live_log import LiveLog
    from serving.scoring.batch import score_all
    from serving.scoring.scorer import Scorer

    rules, settings = opened(definition)
    instant = parse_instant(as_of, "--as-of")
    champions = _champions(rules, settings, without_models=without_models)
    with progress() as bars, sharing(settings.folder(rules.name)):
        steps = ShownSteps(bars)
        log = open_log(rules, settings, ends=parse_instant(ends, "--ends"), steps=steps)
        instant = log.ends if instant is None else instant
        if instant > log.ends:
            raise PropensityError("--as-of lies after the end of the log.", fix="score at or before it")
        folder = settings.scores(rules.name)
        if (cuts := load_cuts(rules, settings)) is None:
            with locked(settings.folder(rules.name), wait=True):
                cuts = first_cuts(log, rules, settings)
        scorer = Scorer(rules, champions.models, cuts)
        with locked(folder):
            with steps("score", log.runs) as advance:
                batch = score_all(log, scorer, instant, folder, reasons=reasons, progress=advance)
            recorder = TransitionRecorder(
                rules, Memberships(rules, LiveLog.open(rules, settings), Clock(settings.clock)), folder
            )
            with steps("who moved", len(part_files(batch.path))) as advance:
                moved = recorder.batch(batch.path, scorer, instant, progress=advance)
    if as_json:
        typer.echo(written.batch(batch, scorer, instant, moved, champions.note))
    else:
        out.print(*report.batch(batch, rules), report.transitions(moved), sep="\n")


@app.command(name="report")
def segments_report(
    definition: DefinitionFile = None,
    ends: Ends = None,
    to: Annotated[Path, typer.Option(help="the file to write")] = Path("segments.html"),
    by: Annotated[
        str | None, typer.Option(help="the trait to compare by; without it, source or the first trait")
    ] = None,
    share: Annotated[float, typer.Option(min=0.001, max=1, help="the share of users to look at")] = 1.0,
    without_models: WithoutModels = False,
) -> None:
    """Compare segments on one page: sizes, who entered and left, what happened next, what differs, what to do."""
    import tempfile

    from features.event_store.open import open_log
    from features.system.lock import sharing
    from segments.rfm_cuts import load_cuts
    from serving.scoring.scorer import Scorer
    from training.report.segment_comparison import compare
    from training.report.segment_report import page

    rules, settings = opened(definition)
    traits = rules.traits.fields if rules.traits else []
    if by is not None and by not in traits:
        raise PropensityError(f"--by {by!r} is no trait.", fix=f"the traits are {', '.join(traits) or 'none'}")
    trait = by or ("source" if "source" in traits else next(iter(traits), None))
    champions = _champions(rules, settings, without_models=without_models)
    scorer = Scorer(rules, champions.models, load_cuts(rules, settings))
    folder = settings.folder(rules.name)
    with progress() as bars, sharing(folder), tempfile.TemporaryDirectory(dir=folder) as scratch:
        steps = ShownSteps(bars)
        log = open_log(rules, settings, ends=parse_instant(ends, "--ends"), steps=steps)
        with steps("thirteen weeks of users", log.runs) as advance:
            found = compare(log, rules, scorer, Path(scratch) / "rows", share=share, progress=advance)
        with steps("the page"):
            to.write_text(page(found, trait=trait), encoding="utf-8")
    out.print(f"{to.resolve()}", soft_wrap=True, highlight=False)


@app.command()
def materialize(definition: DefinitionFile = None, ends: Ends = None) -> None:
    """Read the new events of the log and write the changed profiles to the online store."""
    from features.event_store.open import open_log
    from features.system.lock import locked
    from features.time import to_datetime
    from segments.rfm_cuts import first_cuts
    from serving.upkeep.materialize import materialize as job

    rules, settings = opened(definition)
    with progress() as bars, locked(settings.folder(rules.name)):
        steps = ShownSteps(bars)
        log = open_log(rules, settings, ends=parse_instant(ends, "--ends"), steps=steps)
        with steps("profiles into the online store", log.runs) as advance:
            written = job(log, rules, settings, progress=advance)
        first_cuts(log, rules, settings)
    out.print(
        f"{written:,} profiles changed; all profiles hold the events before {to_datetime(log.ends):%Y-%m-%d %H:%M} UTC."
    )


@app.command()
def serve(
    definition: DefinitionFile = None,
    host: Annotated[str, typer.Option(help="the IP address to listen on")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="the port to listen on")] = 3000,
) -> None:
    """Serve the API; by default with the worker and the sender in the same process."""
    from propensity import serving

    rules, settings = opened(definition)
    serving.check(rules, settings, host, port)
    environment = serving.environment(settings, port)
    out.print(f"Serving {rules.version} on http://{host}:{port}/ (the API page)")
    service = "serving.api.service:PropensityService"
    command = [_program("bentoml"), "serve", service, "--host", host, "--port", str(port)]
    os.execve(command[0], command, environment)  # noqa: S606 - our own command line, no shell


@app.command()
def ui(port: Annotated[int, typer.Option(help="the port to listen on")] = 5000) -> None:
    """Serve MLflow's pages about the runs and models."""
    from features.settings import Settings
    from serving.model.artifacts import database_of, folder_of, make_relative
    from serving.model.loader import registry_errors

    uri = Settings().mlflow_uri
    database, artifacts = database_of(uri), folder_of(uri)
    if database is not None and not database.exists():
        raise PropensityError(f"there is no model registry at {database}.", fix="run propensity train first")
    with registry_errors(uri):
        make_relative(uri)
    command = [_program("mlflow"), "ui", "--backend-store-uri", uri, "--port", str(port)]
    command += ["--artifacts-destination", artifacts.as_uri()] if artifacts is not None else []
    out.print("Runs are under 'Model training'. No usage data are sent, whatever MLflow's banner says.")
    os.execve(command[0], command, dict(os.environ))  # noqa: S606 - our own command line, no shell


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def feast(context: typer.Context, definition: DefinitionFile = None) -> None:
    """Run Feast's command line on the generated repo, as in `propensity feast feature-views list`."""
    from importlib.resources import files

    from features.feature_store import repo_variables

    rules, settings = opened(definition)
    environment = {
        **os.environ,
        **repo_variables(rules, settings),
        "PROPENSITY_DEFINITION": str(settings.definition.resolve()),
    }
    command = [_program("feast"), "-c", str(files("features.repo")), *context.args]
    raise typer.Exit(subprocess.run(command, env=environment, check=False).returncode)  # noqa: S603 - no shell


def _champions(rules: "Definition", settings: "Settings", *, without_models: bool) -> "Champions":
    """Load the champions, and say on standard error where some are missing."""
    from serving.model.loader import Loader
    from serving.scoring.champions import Champions

    found = Champions.of(Loader(rules, settings), settings.scores(rules.name), without_models=without_models)
    if found.note:
        err.print(found.note, soft_wrap=True, highlight=False, markup=False)
    return found


def _known(names: list[str], rules: "Definition") -> None:
    unknown = [name for name in names if name not in rules.asked]
    if unknown:
        raise PropensityError(f"unknown outcome {unknown[0]!r}.", fix=f"choose from {', '.join(rules.asked)}")


def _program(name: str) -> str:
    """Find a program of this environment."""
    found = shutil.which(name, path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    if found is None:
        raise PropensityError(f"{name} is not installed.", fix="run make setup")
    return found


def main() -> None:
    """Run a command; errors a person can mend are shown in words, without a traceback."""
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    private()
    logging.getLogger("propensity.log").addHandler(Warnings())
    try:
        app()
    except PropensityError as error:
        _end(error.code, error.message, error.fix)
    except OSError as error:
        if error.errno not in _DISK:
            raise
        place = f" {error.filename}" if error.filename else ""
        _end("disk", f"cannot write{place}: {error.strerror}.", "make room, or correct the rights, and run it again")


#: how a command ends that says what a person can mend
REFUSED = 2

#: a full disk or quota, a read-only disk, missing rights
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)


def _end(code: str, message: str, fix: str) -> NoReturn:
    err.print(f"[bold red]{code}[/] {escape(message)}", soft_wrap=True, highlight=False)
    if fix:
        err.print(f"[bold]fix[/] {escape(fix)}", soft_wrap=True, highlight=False)
    sys.exit(REFUSED)


def program() -> None:
    """Run a command as a process of its own."""
    try:
        main()
    except SystemExit as end:
        if end.code != REFUSED:
            raise
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(REFUSED)  # without the interpreter's end, at which DuckDB's binding writes a page about leaks


if __name__ == "__main__":
    program()
