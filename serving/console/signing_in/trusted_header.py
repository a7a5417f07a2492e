"""Signing in through a proxy, which says in headers who asks."""

import ipaddress

from serving.console.office import Visit
from serving.console.signing_in.people import LONGEST, roles_of
from serving.database.console.sessions import Session
from serving.process.problems import RefusedError


def session_of(visit: Visit, cookie: str) -> tuple[Session, str | None]:
    """The session of whom the proxy names, and a new cookie where a new session had to be started.

    The session is for forms alone: with each request the proxy has to name the same person, with the same roles.

    Args:
        visit: who asks.
        cookie: what their cookie holds; empty without one.

    Raises:
        RefusedError: the headers do not come from the proxy, name nobody, or the person has no role.
    """
    settings, words = visit.office.settings, visit.words
    _check_peer(visit)
    user = _value(visit, settings.console_user_header)
    if not user:
        fix = words("header.missing.fix", header=settings.console_user_header)
        raise RefusedError(words("header.missing", header=settings.console_user_header), fix=fix, status=403)
    groups = [group.strip() for group in _value(visit, settings.console_groups_header).split(",")]
    roles = roles_of(visit, groups)
    session = visit.office.sessions.find(cookie, visit.now) if cookie else None
    if session is not None and (session.name, session.roles, session.key_hash) == (user, roles, None):
        return session, None
    if cookie:
        visit.office.sessions.end(cookie)
    cookie, session = visit.office.sessions.start(user, roles, visit.now)
    visit.office.actions.add(visit.now, user, visit.origin, "sign_in", user, {"by": "proxy"})
    return session, cookie


def _check_peer(visit: Visit) -> None:
    """Check that a request comes from the proxy.

    Raises:
        RefusedError: it does not.
    """
    scope = visit.request.scope
    # not what X-Forwarded-For says, which uvicorn may believe from others, too
    peer = scope.get("state", {}).get("peer") or scope.get("client") or ("",)
    if not is_one_of(str(peer[0]), visit.office.settings.console_proxy):
        message = visit.words("header.untrusted", address=str(peer[0]) or "?")
        raise RefusedError(message, fix=visit.words("header.untrusted.fix"), status=403)


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
        RefusedError: it is there twice, or holds what no name has.
    """
    found = visit.request.headers.getlist(header)
    if len(found) > 1:
        message = visit.words("header.twice", header=header)
        raise RefusedError(message, fix=visit.words("header.twice.fix", header=header), status=403)
    try:
        text = found[0].encode("latin-1").decode("utf-8").strip() if found else ""
    except UnicodeDecodeError:
        text = "\0"
    if not (text.isprintable() and (header != visit.office.settings.console_user_header or len(text) <= LONGEST)):
        message = visit.words("header.unreadable", header=header)
        raise RefusedError(message, fix=visit.words("header.unreadable.fix", most=LONGEST), status=403)
    return text
