"""Roles of the console, and what each may do there."""

from collections.abc import Collection, Mapping
from typing import Literal

#: look at pages; see ids of users; write drafts and download audiences; publish them, and pause and resume
#: destinations; erase users and read the log of actions
May = Literal["look", "see_ids", "edit", "publish", "erase"]

#: by role; a key of the role ``write`` sends events and may not sign in
CONSOLE: Mapping[str, frozenset[May]] = {
    "viewer": frozenset({"look"}),
    "read": frozenset({"look", "see_ids"}),
    "editor": frozenset({"look", "see_ids", "edit"}),
    "publisher": frozenset({"look", "see_ids", "edit", "publish"}),
    "privacy": frozenset({"look", "see_ids", "erase"}),
    "admin": frozenset({"look", "see_ids", "edit", "publish", "erase"}),
}


def permissions(roles: Collection[str], *, hide_ids: bool) -> frozenset[May]:
    """What somebody of some roles may do.

    Args:
        roles: their roles.
        hide_ids: whether viewers are shown no ids of users; otherwise everybody who may look sees them.
    """
    found: frozenset[May] = frozenset().union(*(CONSOLE.get(role, frozenset()) for role in roles))
    return found | {"see_ids"} if found and not hide_ids else found
