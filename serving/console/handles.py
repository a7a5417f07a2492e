"""Handles: ids of users as they stand in addresses of pages, where proxies and browsers keep them."""

import base64
import binascii

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from serving.console.refusals import ConsoleError


class Handles:
    """Encrypts ids; one id always has the same handle, so that a page can be bookmarked.

    AES-SIV (RFC 5297): deterministic, and a handle that was changed is noticed.

    Args:
        secret: 64 random bytes.
    """

    def __init__(self, secret: bytes) -> None:
        self._cipher = AESSIV(secret)

    def of(self, user: str) -> str:
        """The handle of an id."""
        return base64.urlsafe_b64encode(self._cipher.encrypt(user.encode(), None)).decode().rstrip("=")

    def user(self, handle: str) -> str:
        """The id of a handle.

        Raises:
            ConsoleError: it is none of this installation.
        """
        try:
            sealed = base64.b64decode(handle + "=" * (-len(handle) % 4), altchars=b"-_", validate=True)
            return self._cipher.decrypt(sealed, None).decode()
        except (InvalidTag, binascii.Error, ValueError) as error:
            raise ConsoleError("user.handle", 404) from error
