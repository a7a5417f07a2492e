"""Commands of the live path: the worker, the nightly job, and what repairs a live log."""

import signal
from typing import Annotated

import typer

from propensity.commands.stores import live_log
from propensity.console import ShownSteps, err, out, progress
from propensity.options import DefinitionFile, Ends, opened, parse_duration, parse_instant


def worker(
    definition: DefinitionFile = None,
    host: Annotated[str, typer.Option(help="the IP address of /livez, /readyz and /metrics")] = "127.0.0.1",
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="the port; 0 for none. Without it, 3001 or the next free port")
    ] = None,
) -> None:
    """Fold live events into profiles and send transitions to destinations, in a process of its own.

    Several workers need Redis and PostgreSQL.
    """
    from features.time import Clock
    from propensity.startup import free, next_free
    from serving.process.logs import write_json
    from serving.runtime.worker_process import WorkerProcess

    rules, settings = opened(definition)
    if port is None:
        port = next_free(host)
        err.print(f"Metrics and health are on http://{host}:{port}/metrics, /livez and /readyz.", highlight=False)
    elif port:
        free(host, port)
    write_json()
    process = WorkerProcess(rules, settings, Clock(settings.clock))
    signal.signal(signal.SIGTERM, lambda *_: process.stop())
    signal.signal(signal.SIGINT, lambda *_: process.stop())
    if port:
        process.serve(host, port)
    process.run()


def compact(
    definition: DefinitionFile = None,
    keep: Annotated[str, typer.Option(help="how long messages are kept in the live log")] = "30d",
    keep_ids: Annotated[
        str, typer.Option(help="how long the ids of removed messages are kept, to recognise repeats")
    ] = "90d",
    accept_gap: Annotated[bool, typer.Option(help="accept days without any data as days without events")] = False,
) -> None:
    """Move the live log into the event store: the nightly job. It can be run again after a failure."""
    from features.events.compacted import Compacted
    from features.open_log import open_log
    from features.system.files.lock import locked
    from features.time import Clock, to_datetime
    from segments.rfm_cuts import first_cuts
    from serving.ingest.compact import compact as job
    from serving.upkeep.materialize import materialize

    rules, settings = opened(definition)
    older, oldest = parse_duration(keep, "--keep"), parse_duration(keep_ids, "--keep-ids")
    live = live_log(rules, settings)
    with progress() as bars, locked(settings.folder(rules.name)):
        steps = ShownSteps(bars)
        with steps("live log to files", live.waiting(Compacted.load(settings.live(rules.name)).position)) as advance:
            done = job(rules, settings, live, accept_gap=accept_gap, progress=advance)
        log = open_log(rules, settings, ends=None, steps=steps)
        with steps("profiles", log.runs) as advance:
            materialize(log, rules, settings, progress=advance)
        first_cuts(log, rules, settings)
        now = Clock(settings.clock).now()
        pruned = live.prune(done.state.position, now - older, log=done.state.log, ids_before=now - oldest)
        letters = live.prune_letters(now)
    out.print(
        f"{done.events:,} events and {done.traits:,} changes of attributes compacted; the log is complete through "
        f"{to_datetime(log.ends):%Y-%m-%d %H:%M} UTC. {pruned:,} old messages and {letters:,} dead letters removed."
    )


def materialize(definition: DefinitionFile = None, ends: Ends = None) -> None:
    """Read the new events of the log and write the changed profiles to the online store."""
    from features.open_log import open_log
    from features.system.files.lock import locked
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


def reconcile(
    definition: DefinitionFile = None,
    repair: Annotated[bool, typer.Option(help="write the profiles that should be there")] = False,
) -> None:
    """Rebuild all profiles from the logs and compare them with the online store; there should be no difference."""
    from features.system.files.lock import locked
    from serving.ingest.reconcile import reconcile as job

    rules, settings = opened(definition)
    with (
        progress() as bars,
        locked(settings.folder(rules.name)),
        ShownSteps(bars)("rebuild and compare") as advance,
    ):
        done = job(rules, settings, live_log(rules, settings), repair=repair, progress=advance)
    out.print(f"{done.users:,} users, {len(done.differences):,} differences, {done.repaired:,} repaired.")
    for difference in done.differences[:20]:
        out.print(f"  {difference.user}: {difference.why}", highlight=False)
    if len(done.differences) > done.repaired:
        err.print("[bold]fix[/] propensity reconcile --repair writes what the logs say", highlight=False)
        raise typer.Exit(1)


def adopt(definition: DefinitionFile = None) -> None:
    """Continue with a live log that is refused, because it or another store was restored or replaced."""
    from features.system.files.lock import locked
    from serving.database.identity import adopt as job

    rules, settings = opened(definition)
    with locked(settings.folder(rules.name)):
        done = job(rules, settings, live_log(rules, settings))
    out.print(
        f"The live log is {done.log} from now on; {done.unread:,} of its messages wait to be compacted, and the "
        f"profiles of {done.rebuilt:,} users are made again by the worker."
    )
    if done.missing:
        out.print(f"Events through position {done.missing} were removed from it, and files here do not hold them all.")
    out.print("Next: propensity compact, then propensity reconcile.")
