"""Addresses of destinations: read once, in words when they cannot be meant, and checked as they are connected to."""

import ipaddress
import os
import re
import socket
from dataclasses import dataclass
from urllib.parse import urlsplit

from features.errors import PropensityError

_VARIABLE = re.compile(r"\$\{(\w+)\}")

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network

#: of networks that Python calls global, those that are not, or hold an IPv4 address that nobody has checked
_NOT_PUBLIC: tuple[_Network, ...] = tuple(
    ipaddress.ip_network(text) for text in ("192.0.0.0/24", "192.88.99.0/24", "64:ff9b:1::/48", "fec0::/10")
)

#: IPv6 networks that carry an IPv4 address, and how many bits from the right it begins
_CARRIES_IPV4 = tuple(
    (ipaddress.IPv6Network(text), shift)
    for text, shift in (("::ffff:0:0/96", 0), ("::/96", 0), ("64:ff9b::/96", 0), ("2002::/16", 80))
)
_TEREDO = ipaddress.IPv6Network("2001::/32")


class ForbiddenAddressError(PropensityError):
    """An address is of a private network or of this machine."""

    code = "forbidden_address"


@dataclass(frozen=True, slots=True)
class Target:
    """Where a request goes.

    Attributes:
        secure: whether by TLS.
        host: name or IP address; names in ASCII.
        port: the port.
        path: path and query.
    """

    secure: bool
    host: str
    port: int
    path: str

    @property
    def named(self) -> str:
        """The ``Host`` header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.secure else 80) else f"{host}:{self.port}"


def expanded(url: str, *, key: str) -> str:
    """Put the environment's values in.

    Raises:
        PropensityError: a variable is not set.
    """
    for name in _VARIABLE.findall(url):
        if not os.environ.get(name):
            raise PropensityError(f"{key} names {name}, which is not set.", fix=f"export {name}=…")
    return _VARIABLE.sub(lambda found: os.environ[found[1]], url)


def target_of(url: str, *, key: str) -> Target:
    """Read a web address; nothing of it is in an error, since it may hold secrets.

    Args:
        url: the address, with the environment's values in it.
        key: names it in errors.

    Raises:
        PropensityError: it is none that a request can be sent to.
    """
    if not url.isprintable() or " " in url:
        raise PropensityError(f"{key} holds white space or control characters.", fix="write them as %20 and so on")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        fix = "write https://host:443/path, an IPv6 address in [brackets]"
        raise PropensityError(f"{key} has no valid host or port.", fix=fix) from error
    if parts.scheme not in ("http", "https") or not host or parts.username is not None or port == 0:
        raise PropensityError(f"{key} is not a web address.", fix="write https://host/path, without a user name")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if not path.isascii():
        raise PropensityError(
            f"{key} has a path with letters that are not ASCII.", fix="write them as %C3%A9 and so on"
        )
    secure = parts.scheme == "https"
    return Target(secure, _ascii(host, key), port or (443 if secure else 80), path)


def _ascii(host: str, key: str) -> str:
    """A host as it is looked up."""
    if ":" in host:
        try:
            return str(ipaddress.IPv6Address(host))
        except ValueError as error:
            raise PropensityError(f"{key} has no valid IPv6 address.", fix="write it as in [2001:db8::1]") from error
    try:
        name = host.encode("idna").decode()
    except UnicodeError as error:
        fix = "each part between the dots has 1 to 63 characters"
        raise PropensityError(f"{key} has a host with a part that is empty or too long.", fix=fix) from error
    if len(name) > 253 or not re.fullmatch(r"[a-z0-9_.-]+", name, re.IGNORECASE):
        raise PropensityError(f"{key} has a host with characters no name has.", fix="write letters, digits, - and .")
    return name


def addresses_of(target: Target, *, allow_private: bool) -> list[str]:
    """Look a host up, now: what is returned is what is to be connected to.

    Raises:
        ForbiddenAddressError: one of its addresses is not public and that is not allowed.
        OSError: the name cannot be looked up.
    """
    found = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    addresses = list(dict.fromkeys(str(info[4][0]) for info in found))
    for text in addresses:
        if not allow_private and not public(text):
            raise ForbiddenAddressError(
                f"the host is {text}, an address of a private network.",
                fix="say allow_private: true in the destination, if this is intended",
            )
    return addresses


def public(text: str) -> bool:
    """Whether an IP address, and every IPv4 address inside it, is one of the public Internet."""
    address = ipaddress.ip_address(text.partition("%")[0])
    inside = _inside(address) if isinstance(address, ipaddress.IPv6Address) else []
    if inside:
        return all(public(str(one)) for one in inside)
    special = any(address in network for network in _NOT_PUBLIC if network.version == address.version)
    return address.is_global and not address.is_multicast and not special


def _inside(address: ipaddress.IPv6Address) -> list[ipaddress.IPv4Address]:
    """The IPv4 addresses that an IPv6 address leads to."""
    if address in _TEREDO and address.teredo is not None:
        return list(address.teredo)
    if address.is_loopback or address.is_unspecified:
        return []
    return [
        ipaddress.IPv4Address(int(address) >> shift & 0xFFFF_FFFF)
        for network, shift in _CARRIES_IPV4
        if address in network
    ]
