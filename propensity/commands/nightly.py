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

#: how `propensity train` ends when it promoted nothing, which is no failure
NONE_PROMOTED = 3


def nightly(
    definition: DefinitionFile = None,
    reasons: Annotated[int, typer.Option(min=0, max=20, help="the number of reasons per likelihood")] = 0,
    retrain_after: Annotated[
        str | None, typer.Option(help="train again when a champion was fitted this long before the end of the log")
    ] = None,
    retrain_on_alarm: Annotated[bool, typer.Option(help="train again when the monitor alarms")] = False,
    strict: Annotated[bool, typer.Option(help="end with 1 where there is an alarm")] = False,
    as_json: AsJson = False,
) -> None:
    """Run the steps of a night: take in events, score, monitor, and train again where the options say so.

    A night that failed or was killed is continued by the next run, from the step that did not end. Ends with 0, with 1
    where --strict is given and the monitor alarms, with 2 where a step failed.
    """
    from features.system.lock import locked

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
        content = json.loads((settings.monitoring(rules.name) / "monitor.json").read_text(encoding="utf-8"))
        why = _why(content, rules, settings, age, on_alarm=retrain_on_alarm)
        if why:
            night.run("train", named, why=why, fine=(NONE_PROMOTED,))
        night.end()
    alarms = [one for one in content["findings"] if one["alarm"]]
    if as_json:
        typer.echo(json.dumps({"steps": night.steps, "findings": content["findings"], "retrained": why}, indent=1))
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
            step: a command of the program.
            options: of the command.
            why: why it is run, where it is not always run.
            fine: codes other than 0 with which the command may end.

        Raises:
            PropensityError: the step failed.
        """
        from features.system.durable import write_durably

        if any(one["step"] == step for one in self.steps):
            return
        err.print(f"[bold]{step}[/]" + (f": {why}" if why else ""), highlight=False)
        began = time.monotonic()
        # what the step shows goes beside the progress, so that --json alone is on standard output
        command = [sys.executable, "-m", "propensity", step, *options]
        code = subprocess.run(command, stdout=sys.stderr, check=False).returncode  # noqa: S603 - our own program
        if code and code not in fine:
            raise PropensityError(
                f"{step} ended with {code}.", fix="mend what it says above; propensity nightly continues with this step"
            )
        self.steps.append({"step": step, "seconds": round(time.monotonic() - began, 1), "code": code})
        write_durably(self._file, json.dumps(self.steps).encode())

    def end(self) -> None:
        """The next run is another night."""
        self._file.unlink(missing_ok=True)


def _why(content: dict[str, Any], rules: "Definition", settings: "Settings", age: int | None, *, on_alarm: bool) -> str:
    """Why models are to be trained again; empty where they are not."""
    from features.time import DAY, span_name, to_instant
    from propensity.commands.monitor import fitted_through

    wrong = [one["outcome"] for one in content["findings"] if one["alarm"]]
    if on_alarm and wrong:
        return f"the monitor alarms for {', '.join(dict.fromkeys(wrong))}"
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
