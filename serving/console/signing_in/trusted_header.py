"""Signing in through a proxy, which says in headers who asks."""

import ipaddress

from serving.console.office import Visit
from serving.console.refusals import ConsoleError
from serving.console.signing_in.people import LONGEST, roles_of
from serving.database.console.sessions import Session


def session_of(visit: Visit, cookie: str) -> tuple[Session, str | None]:
    """The session of whom the proxy names, and a new cookie where a new session had to be started.

    The session is for forms alone: with each request the proxy has to name the same person, with the same roles. A
    client that keeps no cookies goes on with the person's session of the last hour.

    Args:
        visit: who asks.
        cookie: what their cookie holds; empty without one.

    Raises:
        ConsoleError: the headers do not come from the proxy, name nobody, or the person has no role.
    """
    settings = visit.office.settings
    _check_peer(visit)
    user = _value(visit, settings.console_user_header)
    if not user:
        raise ConsoleError("header.missing", 403, header=settings.console_user_header)
    groups = [group.strip() for group in _value(visit, settings.console_groups_header).split(",")]
    roles = roles_of(visit, groups)
    session = visit.office.sessions.find(cookie, visit.now) if cookie else None
    if session is not None and (session.name, session.roles, session.key_hash) == (user, roles, None):
        return session, None
    if cookie:
        visit.office.sessions.end(cookie)
    cookie, session = visit.office.recent.session(
        (user, roles), visit.now,
        start=lambda: visit.office.sessions.start(user, roles, visit.now),
        write=lambda: visit.office.actions.add(visit.now, user, visit.origin, "sign_in", user, {"by": "proxy"}),
    )  # fmt: skip
    return session, cookie


def _check_peer(visit: Visit) -> None:
    """Check that a request comes from the proxy.

    Raises:
        ConsoleError: it does not.
    """
    scope = visit.request.scope
    # not what X-Forwarded-For says, which uvicorn may believe from others, too
    peer = scope.get("state", {}).get("peer") or scope.get("client") or ("",)
    if not is_one_of(str(peer[0]), visit.office.settings.console_proxy):
        raise ConsoleError("header.untrusted", 403, address=str(peer[0]) or "?")


def is_one_of(address: str, networks: str) -> bool:
    """Whether an address is in one of some networks.

    Args:
        address: of IPv4 or IPv6; a text that is neither is in none.
        networks: with commas between them.
    """
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    return any(found in ipaddress.ip_network(one.strip()) for one in networks.split(","))


def _value(visit: Visit, header: str) -> str:
    """What a header holds; empty where it is not there.

    Raises:
        ConsoleError: it is there twice, or holds what no name has.
    """
    found = visit.request.headers.getlist(header)
    if len(found) > 1:
        raise ConsoleError("header.twice", 403, header=header)
    try:
        text = found[0].encode("latin-1").decode("utf-8").strip() if found else ""
    except UnicodeDecodeError:
        text = "\0"
    if not (text.isprintable() and (header != visit.office.settings.console_user_header or len(text) <= LONGEST)):
        raise ConsoleError("header.unreadable", 403, header=header, most=LONGEST)
    return text
