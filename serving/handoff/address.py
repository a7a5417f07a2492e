"""Addresses of destinations: looked up once, checked, and then connected to as they were checked."""

import ipaddress
import os
import re
import socket
from dataclasses import dataclass
from urllib.parse import urlsplit

from features.errors import PropensityError

_VARIABLE = re.compile(r"\$\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class Address:
    """An address that may be connected to.

    Attributes:
        url: with the checked IP address in the place of the name, so that nobody can change what it means meanwhile.
        host: the name and port, for the ``Host`` header.
        name: the name, for TLS.
    """

    url: str
    host: str
    name: str


class ForbiddenAddressError(PropensityError):
    """An address is of a private network, of this machine, or not a web address."""

    code = "forbidden_address"


def expanded(url: str, *, key: str) -> str:
    """Put the environment's values in.

    Raises:
        PropensityError: a variable is not set.
    """
    for name in _VARIABLE.findall(url):
        if not os.environ.get(name):
            raise PropensityError(f"{key} names {name}, which is not set.", fix=f"export {name}=…")
    return _VARIABLE.sub(lambda found: os.environ[found[1]], url)


def check_notice(url: str) -> None:
    """Check the host of a notice's address, where it has one: in ``slack://…`` there is a token in its place.

    Raises:
        ForbiddenAddressError: it is of a private network.
        OSError: the name cannot be looked up now.
    """
    host = urlsplit(url).hostname or ""
    if "." in host or ":" in host or host == "localhost":  # tokens are not asked of a name server
        _check(host, None)


def _check(host: str, port: int | None) -> list[str]:
    """The addresses a name has, none of them private."""
    addresses = _addresses(host, port)
    for text in addresses:
        if not _public(text):
            raise ForbiddenAddressError(
                f"{host} is {text}, an address of a private network.",
                fix="say allow_private: true in the destination, if that is meant",
            )
    return addresses


def checked(url: str, *, allow_private: bool) -> Address:
    """Look an address up and check it.

    Raises:
        ForbiddenAddressError: it is of a private network and that is not allowed, or it is not http or https.
        OSError: the name cannot be looked up now.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
        raise ForbiddenAddressError(f"{parts.scheme}://… is no web address.", fix="write https://host/path")
    port = parts.port or (443 if parts.scheme == "https" else 80)
    addresses = _addresses(parts.hostname, port) if allow_private else _check(parts.hostname, port)
    ip = f"[{addresses[0]}]" if ":" in addresses[0] else addresses[0]
    query = f"?{parts.query}" if parts.query else ""
    return Address(f"{parts.scheme}://{ip}:{port}{parts.path}{query}", parts.netloc, parts.hostname)


def _addresses(host: str, port: int | None) -> list[str]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(info[4][0]) for info in found))


def _public(text: str) -> bool:
    address = ipaddress.ip_address(text)
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return address.is_global and not address.is_multicast
