"""Signing in by OpenID Connect: to the provider, and back with a code."""

import logging
import time
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlencode

from starlette.responses import RedirectResponse, Response

from serving.console.office import Visit
from serving.console.refusals import ConsoleError
from serving.console.screen import Screen
from serving.console.signing_in.answers import TroubleError, error_name
from serving.console.signing_in.people import LONGEST, roles_of
from serving.console.signing_in.sign_in import COOKIE, give, inside, secure
from serving.console.signing_in.token import challenge_of, check_installed, claims_of
from serving.database.console.logins import LASTS

log = logging.getLogger("propensity")

#: the cookie that binds a login to the browser in which it began
LOGIN: Final = "propensity_login"

#: where it is sent, and no page is
PATH: Final = "/console/sign-in/oidc"


def _begin(visit: Visit) -> Response:
    """Send somebody to the provider."""
    _check_on(visit)
    settings = visit.office.settings
    try:
        check_installed()
        address = visit.office.provider.configuration().authorize
        state, browser, login = visit.office.logins.start(inside(visit.field("next")), visit.now)
        asked = {
            "response_type": "code", "client_id": settings.oidc_client_id, "redirect_uri": _redirect(visit),
            "scope": settings.oidc_scopes, "state": state, "nonce": login.nonce,
            "code_challenge": challenge_of(login.verifier), "code_challenge_method": "S256",
        }  # fmt: skip
    except TroubleError as trouble:
        raise _refused(visit, trouble) from trouble
    answer = RedirectResponse(f"{address}{'&' if '?' in address else '?'}{urlencode(asked)}", 303)
    seconds = LASTS // 1_000_000
    answer.set_cookie(LOGIN, browser, max_age=seconds, path=PATH, secure=secure(visit), httponly=True, samesite="lax")
    return answer


def _return(visit: Visit) -> Response:
    """Somebody comes back from the provider: a login is used once, whatever comes of it."""
    _check_on(visit)
    login = visit.office.logins.take(visit.field("state"), visit.request.cookies.get(LOGIN, ""), visit.now)
    if login is None:
        raise ConsoleError("oidc.state", 403)
    try:
        claims = _claims(visit, login.nonce, login.verifier)
    except TroubleError as trouble:
        raise _refused(visit, trouble) from trouble
    groups = claims.get(visit.office.settings.oidc_groups_claim, [])
    listed = groups if isinstance(groups, list) else [groups]
    roles = roles_of(visit, (group for group in listed if isinstance(group, str)))
    name = name_of(claims)
    visit.office.sessions.end(visit.request.cookies.get(COOKIE, ""))
    cookie, _ = visit.office.sessions.start(name, roles, visit.now)
    detail = {"by": "oidc", "subject": claims["sub"]}
    visit.office.actions.add(visit.now, name, visit.origin, "sign_in", name, detail)
    answer = RedirectResponse(login.onward, 303)
    answer.delete_cookie(LOGIN, path=PATH)
    give(answer, visit, cookie)
    return answer


def _claims(visit: Visit, nonce: str, verifier: str) -> Mapping[str, Any]:
    """What the provider says of somebody who came back.

    The times of its token are compared with the machine's clock: the service's may show another time, for replays, and
    the provider's does not. All times of our own, of the login and of the session, are of the service's clock.

    Raises:
        TroubleError: it says nothing, or nothing that holds.
    """
    check_installed()
    provider = visit.office.provider
    configuration = provider.configuration()
    query = visit.request.query_params
    # a provider that says who it is: its answer must not be taken to be another's, by RFC 9207
    if query.get("iss", "" if configuration.names_itself else configuration.issuer) != configuration.issuer:
        raise TroubleError("oidc.token", 403, "oidc.why.claim", claim="iss")
    if "error" in query or not query.get("code"):
        raise TroubleError("oidc.denied", 403, what=error_name(query.get("error")))
    tokens = provider.exchange(query["code"], verifier, _redirect(visit))
    return claims_of(tokens, provider, visit.office.settings.oidc_client_id, nonce, int(time.time()))


def name_of(claims: Mapping[str, Any]) -> str:
    """What somebody is called: an address that the provider checked, else their name at it, else their subject."""
    email = claims.get("email") if claims.get("email_verified") is True else None
    for name in (email, claims.get("preferred_username")):
        if isinstance(name, str) and name.strip() and name.isprintable() and len(name) <= LONGEST:
            return name.strip()
    return f"subject {claims['sub'][:LONGEST]}"


def _redirect(visit: Visit) -> str:
    return f"{visit.office.settings.console_url.rstrip('/')}{PATH}/return"


def _check_on(visit: Visit) -> None:
    """Check that people sign in by OpenID Connect.

    Raises:
        ConsoleError: they do not.
    """
    if not visit.office.settings.oidc_issuer:
        raise ConsoleError("oidc.off", 404)


def _refused(visit: Visit, trouble: TroubleError) -> ConsoleError:
    """What went wrong in words; what a token holds is neither shown nor logged."""
    log.warning("signing in by OpenID Connect did not go on: %s", trouble)
    what = visit.words(trouble.part, **trouble.values) if trouble.part else trouble.what
    fix = "oidc.token" if trouble.key == "oidc.code" else trouble.key
    return ConsoleError(trouble.key, trouble.status, fix=f"{fix}.fix", what=what)


SCREENS = (
    Screen("/sign-in/oidc", "GET", None, _begin),
    Screen("/sign-in/oidc/return", "GET", None, _return),
)
