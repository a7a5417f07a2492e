"""People who sign in without a key: what their groups make them."""

from collections.abc import Iterable

from serving.console.office import Visit
from serving.console.refusals import ConsoleError

#: characters that a name may have; it is shown on each page and kept in the log of actions
LONGEST = 200


def roles_of(visit: Visit, groups: Iterable[str]) -> frozenset[str]:
    """The roles of somebody's groups; groups that the settings do not name give none.

    Raises:
        ConsoleError: there is no role.
    """
    given = visit.office.settings.console_roles
    roles = frozenset(given[group] for group in groups if group in given)
    if not roles:
        raise ConsoleError("refused.groups", 403)
    return roles
