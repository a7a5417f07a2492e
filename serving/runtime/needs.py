"""What a process on the live path needs, and which of it does not answer."""

from features.definition.schema import Definition
from features.errors import LiveLogError, PropensityError, UnavailableError
from features.feature_store import OnlineProfiles
from features.settings import Settings
from serving.database.identity import Marks, check, check_online
from serving.database.log.live_log import LiveLog


class Needs:
    """Asks the live log and the online store.

    Args:
        definition: the definition.
        settings: where things are.
        log: its live log.
    """

    def __init__(self, definition: Definition, settings: Settings, log: LiveLog) -> None:
        self._definition, self._settings, self._log = definition, settings, log
        self._asked: OnlineProfiles | None = None

    def missing(self) -> dict[str, str]:
        """What does not answer, by its name, with the error's message."""
        found: dict[str, str] = {}
        try:
            self._log.last()
        except UnavailableError as error:
            found["live_log"] = str(error)
        try:
            if self._asked is None:
                self._asked = OnlineProfiles(self._definition, self._settings)
            if not self._asked.covered_through():
                found["online_store"] = "it holds no profiles. Fix: run propensity materialize"
            elif "live_log" not in found:
                marks = Marks.load(self._definition, self._settings, self._asked)
                check_online(check(self._log, marks.all), marks.shards)
        except LiveLogError as error:
            found["live_log"] = str(error)
        except PropensityError as error:
            found["online_store"] = str(error)
        return found
