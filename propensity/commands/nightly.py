"""The nightly job: one command for a scheduler, each step a process of its own."""

import json
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from features.errors import PropensityError
from propensity.commands.stores import live_log
from propensity.console import err, out
from propensity.options import AsJson, DefinitionFile, opened, parse_duration

if TYPE_CHECKING:
    from features.definition import Definition
    from features.settings import Settings

#: the folder of a night that has not ended, and what is kept there
FOLDER, NAME = "nightly", "steps.json"

#: a night that has not ended within this time is over, and the next begins with the first step
A_NIGHT = 20 * 3_600

#: how `propensity train` and `recalibrate` end when they promoted nothing, which is no failure
NONE_PROMOTED = 3

#: how it ends when there are too few labels, which is none, either (a program that breaks ends with 1)
TOO_FEW = 4


def nightly(
    definition: DefinitionFile = None,
    reasons: Annotated[int, typer.Option(min=0, max=20, help="the number of reasons per likelihood")] = 0,
    retrain_after: Annotated[
        str | None, typer.Option(help="train again when a champion was fitted this long before the end of the log")
    ] = None,
    retrain_on_alarm: Annotated[
        bool, typer.Option(help="train again when the monitor alarms; beside --recalibrate-on-alarm, for a ranking")
    ] = False,
    recalibrate_on_alarm: Annotated[
        bool, typer.Option(help="recalibrate an outcome when the monitor alarms for its level alone")
    ] = False,
    strict: Annotated[bool, typer.Option(help="end with 1 where there is an alarm")] = False,
    as_json: AsJson = False,
) -> None:
    """Run the steps of a night: take in events, score, monitor, publish KPIs, recalibrate or train, remove old scores.

    A night that failed or was killed is continued by the next run, from the step that did not end. A recalibration that
    was not promoted is not made again until a tenth more users have matured, or for a week. Ends with 0, with 1
    where --strict is given and the monitor alarms, with 2 where a step failed.
    """
    from features.system.files.lock import locked

    rules, settings = opened(definition)
    named = ["--definition", str(definition)] if definition is not None else []
    age = parse_duration(retrain_after, "--retrain-after") if retrain_after is not None else None
    folder = settings.folder(rules.name) / FOLDER
    with locked(folder):
        night = Night(folder / NAME)
        live = live_log(rules, settings)
        came = live.last() > 0
        live.close()
        night.run("compact" if came else "materialize", named)
        night.run("score", [*named, "--reasons", str(reasons)])
        night.run("monitor", named)
        night.run("kpis", named)
        content = json.loads((settings.monitoring(rules.name) / "monitor.json").read_text(encoding="utf-8"))
        served = _served(rules, settings)
        levels, wrong = _alarmed(content, served, recalibrated=recalibrate_on_alarm)
        why = _why(content, rules, settings, age, wrong=wrong if retrain_on_alarm else [])
        tried = [] if why else _recalibrated(night, named, content, rules, settings, levels, served)
        if why:
            night.run("train", named, why=why, fine=(NONE_PROMOTED,))
        night.run("prune", named)
        night.end()
    alarms = [one for one in content["findings"] if one["alarm"]]
    if as_json:
        shown = {"steps": night.steps, "findings": content["findings"], "retrained": why, "recalibrated": tried}
        typer.echo(json.dumps(shown, indent=1))
    else:
        for one in content["findings"]:
            out.print(("alarm: " if one["alarm"] else "note: ") + one["words"], markup=False, highlight=False)
    if strict and alarms:
        raise typer.Exit(1)


class Night:
    """The steps of one night; those that ended are not repeated by the run after a failure.

    Args:
        file: what is kept of them until the night ends.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self.steps: list[dict[str, Any]] = []
        if file.exists() and time.time() - file.stat().st_mtime < A_NIGHT:
            self.steps = json.loads(file.read_text(encoding="utf-8"))

    def run(self, step: str, options: list[str], *, why: str = "", fine: tuple[int, ...] = ()) -> None:
        """Run a step, unless an earlier run of this night has ended it.

        Args:
            step: a command of the program, and what it is about.
            options: of the command.
            why: why it is run, where it is not always run.
            fine: codes other than 0 with which the command may end.

        Raises:
            PropensityError: the step failed.
        """
        from features.system.files.durable import write_durably

        if any(one["step"] == step for one in self.steps):
            return
        err.print(f"[bold]{step}[/]" + (f": {why}" if why else ""), highlight=False)
        began = time.monotonic()
        # what the step shows goes beside the progress, so that --json alone is on standard output
        command = [sys.executable, "-m", "propensity", *step.split(), *options]
        code = subprocess.run(command, stdout=sys.stderr, check=False).returncode  # noqa: S603 - our own program
        if code and code not in fine:
            raise PropensityError(
                f"{step} ended with {code}.", fix="mend what it says above; propensity nightly continues with this step"
            )
        self.steps.append({"step": step, "seconds": round(time.monotonic() - began, 1), "code": code})
        write_durably(self._file, json.dumps(self.steps).encode())

    def skip(self, step: str, why: str) -> None:
        """Say that a step is not run, and why."""
        from features.system.files.durable import write_durably

        if not any(one["step"] == step for one in self.steps):
            err.print(f"[bold]{step}[/] is not run: {why}", highlight=False)
            self.steps.append({"step": step, "seconds": 0.0, "code": None, "skipped": why})
            write_durably(self._file, json.dumps(self.steps).encode())

    def end(self) -> None:
        """The next run is another night."""
        self._file.unlink(missing_ok=True)


def _recalibrated(
    night: Night,
    named: list[str],
    content: dict[str, Any],
    rules: "Definition",
    settings: "Settings",
    levels: list[str],
    served: dict[str, str],
) -> list[str]:
    """Recalibrate the outcomes whose level has moved, but for those of which the same was refused lately.

    Returns:
        The outcomes that were recalibrated, or were to be.
    """
    from features.time import to_instant
    from monitoring.recalibration.refused import Refusals

    tried, refusals = [], Refusals(rules, settings)
    through = to_instant(datetime.fromisoformat(content["through"]))
    for outcome in levels:
        step = f"recalibrate {outcome}"
        done = any(one["step"] == step and "skipped" not in one for one in night.steps)
        if not done and (waits := refusals.waits(outcome, served[outcome], through)):
            night.skip(step, waits)
            continue
        night.run(step, named, why="its level has moved", fine=(NONE_PROMOTED, TOO_FEW))
        tried.append(outcome)
    return tried


def _served(rules: "Definition", settings: "Settings") -> dict[str, str]:
    """Of each outcome that has one, the champion, as ``churn/4``."""
    from serving.model.registry.loader import Loader

    return {name: f"{name}/{number}" for name, number in Loader(rules, settings).versions().items()}


def _alarmed(content: dict[str, Any], versions: "dict[str, str]", *, recalibrated: bool) -> tuple[list[str], list[str]]:
    """The outcomes to recalibrate, and those to train again, by the alarms.

    An alarm about a version that does not serve any more has been acted on: its successor has no matured labels yet.

    Args:
        content: what the monitor found.
        versions: of each outcome the champion.
        recalibrated: whether an outcome of which the level alone has moved is recalibrated.
    """
    from monitoring.findings import LIVE, OF_MODELS

    found: dict[str, set[str]] = {}
    for one in content["findings"]:
        # what stands still otherwise is not mended by a model, nor what the service alone gets wrong
        if one["name"] not in OF_MODELS or one.get("source") == LIVE:
            continue
        if one["alarm"] and one.get("version") in ("", None, versions.get(one["outcome"])):
            found.setdefault(one["outcome"], set()).add(one["name"])
    levels = [outcome for outcome, names in found.items() if recalibrated and names == {"level_moved"}]
    return levels, [outcome for outcome in found if outcome not in levels]


def _why(
    content: dict[str, Any], rules: "Definition", settings: "Settings", age: int | None, *, wrong: list[str]
) -> str:
    """Why models are to be trained again; empty where they are not."""
    from features.time import DAY, span_name, to_instant
    from propensity.commands.monitoring.monitor import fitted_through

    if wrong:
        return f"the monitor alarms for {', '.join(wrong)}"
    if age is None:
        return ""
    through = to_instant(datetime.fromisoformat(content["through"]))
    fitted = fitted_through(rules, settings)
    missing = [name for name in rules.outcomes if name not in fitted]
    if missing:
        return f"{missing[0]} has no model"
    oldest = min(fitted, key=lambda name: fitted[name])
    if through - fitted[oldest] < age:
        return ""
    return f"{oldest} was fitted {span_name((through - fitted[oldest]) // DAY * DAY)} ago"
