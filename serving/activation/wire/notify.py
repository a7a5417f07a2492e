"""Notices to the team through Apprise: to services whose hosts are fixed, so that no address leads elsewhere."""

import logging
import threading
from urllib.parse import urlsplit

from features.errors import PropensityError

#: services that Apprise sends to at their own host, whatever the address says; all others name a host of their own
SERVICES = ("discord", "gchat", "opsgenie", "pagerduty", "pbul", "pover", "slack", "tgram", "wxteams")


def check_service(url: str, *, key: str, allow_private: bool) -> None:
    """Check that a notice goes to a service we know; nothing of the address is in an error.

    Raises:
        PropensityError: it names a host, which Apprise would connect to unchecked.
    """
    if not allow_private and urlsplit(url).scheme.lower() not in SERVICES:
        raise PropensityError(
            f"{key} names a service whose host is not fixed; the host could have an address of a private network.",
            fix=f"use one of {', '.join(f'{name}://' for name in SERVICES)}, or say allow_private: true",
        )


class Notices:
    """Sends notices, one at a time, each within a deadline."""

    def __init__(self) -> None:
        self._under_way: threading.Thread | None = None

    def send(self, url: str, text: str, *, seconds: float, title: str = "Users moved") -> None:
        """Send a notice.

        Args:
            url: Apprise's address of the service.
            text: what to say.
            seconds: until it is given up.
            title: what it is about.

        Raises:
            PropensityError: Apprise is not there, does not know the address, or the service did not take it.
            TimeoutError: it took too long.
        """
        if self._under_way is not None and self._under_way.is_alive():
            raise TimeoutError("the previous notice is still being sent")
        service, taken = _service(url), list[bool]()

        def notify() -> None:
            taken.append(bool(service.notify(title=title, body=text)))  # type: ignore[attr-defined]

        self._under_way = threading.Thread(target=notify, name="notice", daemon=True)
        self._under_way.start()
        self._under_way.join(seconds)
        if self._under_way.is_alive():
            raise TimeoutError("the service did not answer in time")
        if taken != [True]:
            raise PropensityError("the service refused the notice.", fix="try the address with the apprise command")


def _service(url: str) -> object:
    try:
        import apprise
    except ImportError as error:
        raise PropensityError("apprise is not installed.", fix="pip install propensity[notices]") from error
    # it tells of addresses and answers, which hold secrets and users
    logging.getLogger("apprise").disabled = True
    # one address: a list of them would be split, and the others sent to unchecked
    service = apprise.Apprise.instantiate(url)
    notifier = apprise.Apprise()
    if service is None or not notifier.add(service):
        raise PropensityError("Apprise does not know this address.", fix="see its wiki for the form")
    return notifier
