"""Commands of the live path."""

import signal
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from features.errors import PropensityError
from features.user_id import user_id
from propensity.console import ShownSteps, err, out, progress, table
from propensity.options import DefinitionFile, new_group, opened

if TYPE_CHECKING:
    from features.definition import Definition
    from features.settings import Settings
    from serving.database.live_log import LiveLog

keys = new_group("Keys: write keys of SDKs, and tokens.")
letters = new_group("Messages that were refused or could not be folded.")

KeyName = Annotated[str, typer.Argument(help="the key's name")]
Grace = Annotated[str, typer.Option(help="how long the old secret still works, such as 24h")]


@keys.command()
def create(
    name: KeyName,
    role: Annotated[
        str,
        typer.Option(
            help="the role: write (sends events), read (reads scores and metrics), admin (reads, and erases users)"
        ),
    ],
    definition: DefinitionFile = None,
) -> None:
    """Create a key; its secret is shown once."""
    from serving.api.keys import Keys

    _secret(Keys(_live(*opened(definition))).create(name, role))


@keys.command()
def rotate(name: KeyName, grace: Grace = "24h", definition: DefinitionFile = None) -> None:
    """Create a new secret for a key; running services accept it within seconds."""
    from serving.api.keys import Keys

    _secret(Keys(_live(*opened(definition))).rotate(name, grace=_span(grace, "--grace")))


@keys.command()
def revoke(name: KeyName, definition: DefinitionFile = None) -> None:
    """Remove a key; running services refuse it within seconds."""
    from serving.api.keys import Keys

    Keys(_live(*opened(definition))).revoke(name)
    out.print(f"{name} is revoked.", highlight=False)


@keys.command("list")
def list_keys(definition: DefinitionFile = None) -> None:
    """List the valid keys."""
    import polars as pl

    from serving.api.keys import Keys

    found = Keys(_live(*opened(definition))).all()
    rows = {"name": [k.name for k in found], "role": [k.role for k in found],
            "created": [_when(k.created) for k in found],
            "expires": [_when(k.expires) if k.expires else None for k in found]}  # fmt: skip
    out.print(table("Keys", pl.DataFrame(rows, schema=dict.fromkeys(rows, pl.String))))


@letters.command("list")
def list_letters(
    definition: DefinitionFile = None,
    limit: Annotated[int, typer.Option(min=1, help="the largest number of messages")] = 50,
    bodies: Annotated[bool, typer.Option(help="write the messages themselves, one JSON object per line")] = False,
) -> None:
    """List messages that were refused or could not be folded, with the reason."""
    import polars as pl

    found = _live(*opened(definition)).dead_letters(limit=limit)
    if bodies:
        for letter in found:
            typer.echo(letter.body)
        return
    rows = [
        {"id": x.id, "received": _when(x.received), "stage": x.stage, "code": x.code, "reason": x.reason} for x in found
    ]
    out.print(table("Dead letters", pl.DataFrame(rows, schema=["id", "received", "stage", "code", "reason"])))


@letters.command()
def replay(
    definition: DefinitionFile = None,
    id: Annotated[list[int] | None, typer.Option(help="replay only the message of this id; can be repeated")] = None,
) -> None:
    """Read dead letters again, for example after a change of the definition, and accept those that are valid now."""
    from features.reading.live_messages import LogColumns
    from serving.ingest.replay import replay as job
    from serving.ingest.tracking import Tracking

    rules, settings = opened(definition)
    tracking = Tracking(LogColumns.load(rules, settings.folder(rules.name)))
    done = job(_live(rules, settings), tracking, set(id) if id else None)
    out.print(f"{done.taken:,} taken, {len(done.refused):,} refused again.")
    for letter, reason in done.refused[:20]:
        out.print(f"  {letter}: {reason}", highlight=False)


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
    from propensity.serving import free, next_free
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
    keep: Annotated[str, typer.Option(help="how long messages are kept to recognise repeats")] = "30d",
    accept_gap: Annotated[bool, typer.Option(help="accept days without any data as days without events")] = False,
) -> None:
    """Move the live log into the event store: the nightly job. It can be run again after a failure."""
    from features.event_store.open import open_log
    from features.events.compacted import Compacted
    from features.system.lock import locked
    from features.time import Clock, to_datetime
    from segments.rfm_cuts import first_cuts
    from serving.ingest.compact import compact as job
    from serving.upkeep.materialize import materialize

    rules, settings = opened(definition)
    live, older = _live(rules, settings), _span(keep, "--keep")
    with progress() as bars, locked(settings.folder(rules.name)):
        steps = ShownSteps(bars)
        with steps("live log to files", live.waiting(Compacted.load(settings.live(rules.name)).position)) as advance:
            done = job(rules, settings, live, accept_gap=accept_gap, progress=advance)
        log = open_log(rules, settings, ends=None, steps=steps)
        with steps("profiles", log.runs) as advance:
            materialize(log, rules, settings, progress=advance)
        first_cuts(log, rules, settings)
        now = Clock(settings.clock).now()
        pruned = live.prune(done.state.position, now - older, log=done.state.log)
        letters = live.prune_letters(now)
    out.print(
        f"{done.events:,} events and {done.traits:,} changes of attributes compacted; the log is complete through "
        f"{to_datetime(log.ends):%Y-%m-%d %H:%M} UTC. {pruned:,} old messages and {letters:,} dead letters removed."
    )


def reconcile(
    definition: DefinitionFile = None,
    repair: Annotated[bool, typer.Option(help="write the profiles that should be there")] = False,
) -> None:
    """Rebuild all profiles from the logs and compare them with the online store; there should be no difference."""
    from features.system.lock import locked
    from serving.ingest.reconcile import reconcile as job

    rules, settings = opened(definition)
    with (
        progress() as bars,
        locked(settings.folder(rules.name)),
        ShownSteps(bars)("rebuild and compare") as advance,
    ):
        done = job(rules, settings, _live(rules, settings), repair=repair, progress=advance)
    out.print(f"{done.users:,} users, {len(done.differences):,} differences, {done.repaired:,} repaired.")
    for difference in done.differences[:20]:
        out.print(f"  {difference.user}: {difference.why}", highlight=False)
    if len(done.differences) > done.repaired:
        err.print("[bold]fix[/] propensity reconcile --repair writes what the logs say", highlight=False)
        raise typer.Exit(1)


def adopt(definition: DefinitionFile = None) -> None:
    """Continue with a live log that is refused, because it or another store was restored or replaced."""
    from features.system.lock import locked
    from serving.database.identity import adopt as job

    rules, settings = opened(definition)
    with locked(settings.folder(rules.name)):
        done = job(rules, settings, _live(rules, settings))
    out.print(
        f"The live log is {done.log} from now on; {done.unread:,} of its messages wait to be compacted, and the "
        f"profiles of {done.rebuilt:,} users are made again by the worker."
    )
    if done.missing:
        out.print(f"Events through position {done.missing} were removed from it, and files here do not hold them all.")
    out.print("Next: propensity compact, then propensity reconcile.")


def erase(
    users: Annotated[list[str], typer.Argument(help="the ids of the users")], definition: DefinitionFile = None
) -> None:
    """Erase users everywhere, permanently; events of theirs that arrive later are not stored."""
    import polars as pl

    from features.system.lock import locked
    from features.time import Clock
    from serving.activation.memberships import Memberships
    from serving.upkeep.erase import erase as job

    rules, settings = opened(definition)
    users = [user_id(user) for user in users]
    with locked(settings.folder(rules.name)):
        memberships = Memberships(rules, _live(rules, settings), Clock(settings.clock))
        done = job(rules, settings, memberships, users)
    places = list({**done.removed, **done.left})
    rows = {
        "place": places,
        "removed": [done.removed.get(p) for p in places],
        "left": [done.left.get(p) for p in places],
    }
    out.print(table(f"Erased: {', '.join(users)}", pl.DataFrame(rows)))
    if any(done.left.values()):
        err.print("[bold]fix[/] run it again when no other job writes what is left", highlight=False)
        raise typer.Exit(1)


def _live(rules: "Definition", settings: "Settings") -> "LiveLog":
    from serving.database.live_log import LiveLog

    return LiveLog.open(rules, settings)


def _secret(secret: str) -> None:
    typer.echo(secret)
    err.print("Keep it now: it is not shown again, and only its hash is stored.")


def _span(text: str, option: str) -> int:
    from features.time import parse_span

    try:
        return parse_span(text)
    except ValueError as error:
        raise PropensityError(f"{option} {error}.", fix=f"as in {option} 24h") from error


def _when(instant: int) -> str:
    return datetime.fromtimestamp(instant / 1e6, UTC).strftime("%Y-%m-%d %H:%M:%S")
