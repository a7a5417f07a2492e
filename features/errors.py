"""The errors a user can meet: each names what was found, what is needed and how to fix it."""

import reprlib

#: no message is longer, whatever was found
LONGEST = 2_000

_SHORT = reprlib.Repr()
_SHORT.maxlevel, _SHORT.maxstring, _SHORT.maxother, _SHORT.maxlong = 3, 160, 160, 40


def shown(value: object) -> str:
    """Write a value that was found, cut short where it is long or deep."""
    return _SHORT.repr(value)


def bounded(text: str, most: int = LONGEST) -> str:
    """Cut a text in its middle when it is longer than ``most`` characters."""
    return text if len(text) <= most else f"{text[: most - most // 4]} … {text[-(most // 4) :]}"


class PropensityError(Exception):
    """Something a person can put right.

    Args:
        message: what was found, with the value.
        fix: what to do about it.
        code: a stable name for programs and documentation.
    """

    code = "error"

    def __init__(self, message: str, *, fix: str = "", code: str | None = None) -> None:
        message = bounded(message)
        super().__init__(message)
        self.message = message
        self.fix = bounded(fix)
        if code is not None:
            self.code = code

    def __str__(self) -> str:
        return f"{self.message} Fix: {self.fix}" if self.fix else self.message


class DefinitionError(PropensityError):
    """The definition file says something that cannot be meant."""

    code = "definition"


class SettingsError(PropensityError):
    """A setting of the environment has a value that it cannot have."""

    code = "settings"


class EventLogError(PropensityError):
    """The event log (or the trait table) cannot be read as declared."""

    code = "event_log"


class ImmatureLabelError(PropensityError):
    """A label was asked for whose window is not over yet."""

    code = "immature_label"


class FoldError(PropensityError):
    """Events or profiles were handed to the fold in a way that would give a wrong profile."""

    code = "fold"


class StoreError(PropensityError):
    """The feature store lacks what was asked of it."""

    code = "store"


class UnavailableError(StoreError):
    """A store or database does not answer now; the same request may be answered a moment later."""

    code = "unavailable"


class DatabaseError(UnavailableError):
    """A database does not hold what this program needs of it, or does not let it: waiting does not help."""

    code = "database"


class LiveLogError(UnavailableError):
    """The live log is older than what was made from it, or is another one: nothing more is derived from it."""

    code = "live_log"


class TopicError(UnavailableError):
    """A topic of Kafka cannot be read on: its settings, rights or offsets are at fault, and waiting may not help."""

    code = "topic"


class SparkError(PropensityError):
    """Spark, or the Python of its executors, cannot do what it was asked for."""

    code = "spark"


class ScoringError(PropensityError):
    """A model cannot score what it was given."""

    code = "scoring"


class RefusalError(PropensityError):
    """A model is not trained because it could not be trusted.

    Args:
        code: the refusal's entry in ``docs/reference/errors.md``.
        found: what the data hold.
        needed: what is required.
        fix: what to change.
    """

    def __init__(self, code: str, *, found: str, needed: str, fix: str) -> None:
        super().__init__(f"found {found}; needed {needed}.", fix=fix, code=code)
        self.found = found
        self.needed = needed
