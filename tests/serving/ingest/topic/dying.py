"""Reads a topic and is killed, as by a power cut, right before or right after the n-th transaction that moves offsets.

``python -m tests.serving.ingest.topic.dying DEFINITION_JSON TRANSACTION before|after``, with the settings of the
environment; with transaction 0 it reads until it is killed from outside.
"""

import os
import signal
import sys
import time
from pathlib import Path

from features.definition import Definition
from features.settings import Settings
from features.time import Clock, to_datetime
from serving.database import topics
from serving.database.log.live_log import LiveLog
from serving.ingest.topic import reader as reading
from tests.serving.ingest.topic.scenes import NOW


def main(definition: Definition, fatal: int, when: str) -> None:
    reading.MOST, topics.HELD = 40, 300_000
    settings, appended = Settings(), LiveLog.append
    live = LiveLog.open(definition, settings)
    count = [0]

    def append(log: LiveLog, *messages: object, within: object, **more: object) -> list[str]:
        count[0] += 1
        die = count[0] == fatal

        def dies(connection: object) -> None:
            within(connection)  # type: ignore[operator]
            if die and when == "before":
                os.kill(os.getpid(), signal.SIGKILL)

        answers = appended(log, *messages, within=dies, **more)  # type: ignore[arg-type]
        if die:
            os.kill(os.getpid(), signal.SIGKILL)
        return answers

    LiveLog.append = append  # type: ignore[method-assign, assignment]
    reader = reading.TopicReader(definition, settings, live, Clock(to_datetime(NOW)), lambda: None)
    reader.start()
    while reader.alive:
        time.sleep(0.01)


if __name__ == "__main__":
    main(Definition.model_validate_json(Path(sys.argv[1]).read_text()), int(sys.argv[2]), sys.argv[3])
