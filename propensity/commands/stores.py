"""The stores that commands open."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from features.definition import Definition
    from features.settings import Settings
    from serving.activation.hand_offs import HandOffs
    from serving.activation.memberships import Memberships
    from serving.database.log.live_log import LiveLog


def live_log(rules: "Definition", settings: "Settings") -> "LiveLog":
    """Open the live log of a definition."""
    from serving.database.log.live_log import LiveLog

    return LiveLog.open(rules, settings)


def memberships_of(rules: "Definition", settings: "Settings") -> "Memberships":
    """Open the memberships of a definition's users."""
    from features.time import Clock
    from serving.activation.memberships import Memberships

    return Memberships(rules, live_log(rules, settings), Clock(settings.clock))


def hand_offs_of(rules: "Definition", settings: "Settings") -> "HandOffs | None":
    """Who was acted on; None where no destination acts on users, so that no live log is opened for it."""
    from serving.activation.hand_offs import HandOffs

    if not any(one.kind != "notice" for one in rules.destinations.values()):
        return None
    return HandOffs(rules, memberships_of(rules, settings))
