"""A BentoML server in this process: what it has imported is not imported again, as by `bentoml serve`."""

import features.system.telemetry  # noqa: F401

from _bentoml_impl.worker.service import main
from bentoml._internal.log import SERVER_LOGGING_CONFIG

SERVICE = "serving.api.service:PropensityService"


def run(listening: int) -> None:
    """Answer until this process is asked to end.

    Args:
        listening: the file descriptor of a socket that listens.
    """
    # BentoML silences whatever writes a log before it does: here that is all of us
    SERVER_LOGGING_CONFIG["disable_existing_loggers"] = False
    main([SERVICE, "--fd", str(listening)], standalone_mode=False)
