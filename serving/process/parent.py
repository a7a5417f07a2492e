"""A server must not outlive its supervisor: nobody could restart it, and it would keep the port."""

import logging
import os
import signal
import threading

log = logging.getLogger("propensity")

#: how often to look, and how long an orderly end may take, in seconds
LOOK, GRACE = 0.5, 10.0

#: the supervisor's process id, which `propensity serve` gives the server
SUPERVISOR = "PROPENSITY_SUPERVISOR"


def end_with_parent() -> None:
    """End this process soon after its parent has ended, in order if possible.

    The environment names the parent, where it can: it may have ended before this process asked for its id.
    """
    parent = int(os.environ.get(SUPERVISOR, "0")) or os.getppid()
    threading.Thread(target=_watch, args=(parent,), name="parent", daemon=True).start()


def _watch(parent: int) -> None:
    never = threading.Event()
    while os.getppid() == parent:
        never.wait(LOOK)
    log.warning("the supervisor has ended; so does this server")
    os.kill(os.getpid(), signal.SIGTERM)
    never.wait(GRACE)
    os._exit(1)
