"""How long a training will take: as long as the last one of as many outcomes, or a rough most."""

import json
from pathlib import Path

#: of a first training on two cores: seconds before the outcomes, and of an outcome of as many rows as are learnt from
BEFORE, OUTCOME = 30.0, 25.0

_FILE = "train_seconds.json"


def expected(folder: Path, outcomes: int) -> tuple[float, str]:
    """Seconds that a training of so many outcomes will take, and a sentence that says so.

    Args:
        folder: of the definition's files.
        outcomes: how many are trained.
    """
    try:
        seconds = float(json.loads((folder / _FILE).read_text())[str(outcomes)])
    except (OSError, ValueError, KeyError, TypeError):  # none yet, or damaged: it is nothing but an estimate
        seconds = BEFORE + OUTCOME * outcomes
        return seconds, f"This takes up to about {clock(seconds)} minutes on two cores; a small log takes less."
    return seconds, f"This takes about {clock(seconds)} minutes, as the last training did."


def remember(folder: Path, outcomes: int, seconds: float) -> None:
    """Keep how long a training of so many outcomes took."""
    try:
        known = dict(json.loads((folder / _FILE).read_text()))
    except (OSError, ValueError, TypeError):
        known = {}
    (folder / _FILE).write_text(json.dumps(known | {str(outcomes): round(seconds, 1)}))


def clock(seconds: float) -> str:
    """Minutes and seconds, as ``02:31``."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes:02}:{rest:02}"
