"""Runs a command of ours and kills it, as a power cut would, at its n-th durable step.

A step is a file made, renamed or removed under the home, or a transaction committed: what is on the disk differs before
and after it. ``python -m tests.chaos.dying STEPS COUNT_FILE COMMAND…``: at the last of the steps the process is killed;
at those before, a copy of the world is left beside it, as after a kill there. With step 0 the command runs to
its end and the number of steps is written into the file.
"""

import os
import shutil
import signal
import sys
from pathlib import Path

_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
_CHANGES = {"os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.link", "shutil.rmtree", "shutil.move"}


class Steps:
    """Counts durable steps under a folder, leaves copies of the world at some, and ends the process at the last."""

    def __init__(self, home: str, steps: list[int]) -> None:
        self.home, self.copied, self.fatal, self.taken = home, steps[:-1], steps[-1], 0

    def hook(self, event: str, args: tuple[object, ...]) -> None:
        opened = event == "open" and isinstance(args[2], int) and args[2] & _WRITES
        if (opened or event in _CHANGES) and str(args[0]).startswith(self.home):
            self.take()

    def take(self, *_: object) -> None:
        self.taken += 1
        if self.taken in self.copied:
            world = Path(self.home).parent
            shutil.copytree(world, place_of(world, self.taken))
        if self.taken == self.fatal:
            os.kill(os.getpid(), signal.SIGKILL)


def place_of(world: Path, step: int) -> Path:
    """Where a world is copied to at a step."""
    return world.with_name(f"{world.name}-{step}")


def main(deadly: list[int], count: Path, command: list[str]) -> None:
    import sqlalchemy as sa

    from propensity.__main__ import main as propensity

    steps = Steps(str(Path(os.environ["PROPENSITY_HOME"]).resolve()), deadly)
    sys.addaudithook(steps.hook)
    sa.event.listen(sa.Engine, "commit", steps.take)
    sys.argv = ["propensity", *command]
    code: str | int | None = 0
    try:
        propensity()
    except SystemExit as end:
        code = end.code
    count.write_text(str(steps.taken))
    sys.exit(code)


if __name__ == "__main__":
    main([int(step) for step in sys.argv[1].split(",")], Path(sys.argv[2]), sys.argv[3:])
