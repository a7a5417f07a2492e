"""Id tokens: whether what a provider says of somebody holds."""

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from serving.console.signing_in.answers import TroubleError
from serving.console.signing_in.provider import Provider, Tokens

if TYPE_CHECKING:
    from joserfc.jwt import Token

#: the signatures that are accepted: of a private key that only the provider has
ALGORITHMS = ("RS256", "ES256")

#: by how much the provider's clock and ours may differ, in seconds
LEEWAY = 60


def check_installed() -> None:
    """Check that what OpenID Connect needs is installed.

    Raises:
        TroubleError: it is not.
    """
    missing = [name for name in ("authlib", "joserfc") if find_spec(name) is None]
    if missing:
        raise TroubleError("oidc.missing", 503, what=", ".join(missing))


def challenge_of(verifier: str) -> str:
    """What the provider is given of a verifier before the code: its SHA-256."""
    from authlib.oauth2.rfc7636 import create_s256_code_challenge

    return str(create_s256_code_challenge(verifier))


def claims_of(tokens: Tokens, provider: Provider, client: str, nonce: str, at: int) -> Mapping[str, Any]:
    """What an id token says, once all of it was checked.

    Args:
        tokens: what the provider gave.
        provider: has the keys.
        client: our id, for which the token must be.
        nonce: what it must repeat.
        at: the real time in seconds since 1970.

    Raises:
        TroubleError: the token is not accepted.
    """
    from authlib.oidc.core import CodeIDToken
    from joserfc.errors import ExpiredTokenError, InvalidClaimError, MissingClaimError

    found = _signed(tokens.id_token, provider.keys()) or _signed(tokens.id_token, provider.keys(newest=True))
    if found is None:
        raise TroubleError("oidc.token", 403, "oidc.why.signature")
    wanted: dict[str, Any] = {
        "iss": {"essential": True, "value": provider.configuration().issuer},
        "aud": {"essential": True, "value": client},
    }
    given = {"client_id": client, "nonce": nonce, "access_token": tokens.access_token}
    try:
        CodeIDToken(found.claims, found.header, wanted, given).validate(at, LEEWAY)
    except ExpiredTokenError:
        raise TroubleError("oidc.token", 403, "oidc.why.expired") from None
    except (InvalidClaimError, MissingClaimError) as error:
        raise TroubleError("oidc.token", 403, "oidc.why.claim", claim=str(error.claim)) from None
    except (TypeError, ValueError, AttributeError):  # a claim of another type than Authlib expects
        raise TroubleError("oidc.nonsense", 503, "oidc.what.token") from None
    return found.claims


def _signed(token: str, keys: Sequence[Mapping[str, Any]]) -> "Token | None":
    """A token that one of some keys signed; None where none of them did."""
    from joserfc import jwt
    from joserfc.errors import JoseError
    from joserfc.jwk import KeySet

    if not keys:
        return None
    try:
        return jwt.decode(token, KeySet.import_key_set({"keys": [dict(key) for key in keys]}), list(ALGORITHMS))
    except (JoseError, ValueError, TypeError):  # the caller says that no key of the provider signed it
        return None
