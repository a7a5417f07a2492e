"""What the guide shows is what a definition takes."""

import re
from pathlib import Path

import pytest
import yaml

from features.definition.sections.log.event_log import Events

GUIDE = Path(__file__).parents[3] / "docs/how-to/sources.md"
BLOCKS = re.findall(r"```yaml\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
REST = {"path": "data/events", "columns": {"user": "user", "event": "event", "time": "time"}}


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_the_examples_are_taken(block: str) -> None:
    shown = yaml.safe_load(block)
    events = Events.model_validate(REST | shown.get("events", shown))
    assert events.sources
