"""The truth about people: merges gone through one by one, nothing clever."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from tests.oracle import Event


@dataclass(frozen=True)
class Merge:
    alias: str
    user: str
    known: int
    explicit: bool = False
    undone: int | None = None


NOBODY = ("undefined", "0", "00000000-0000-0000-0000-000000000000", "anonymous", "null")


def people_at(merges: Sequence[Merge], c: int, most_ids: int = 500, most_users: int = 5) -> dict[str, str]:
    """By what id the person of each id is called at a cutoff; ids that are not here are people by themselves."""
    return _judged(merges, c, most_ids, most_users)[0]


def drawn_at(merges: Sequence[Merge], c: int, most_ids: int = 500, most_users: int = 5) -> dict[str, str]:
    """By which id the holdout of the person of each id is drawn: the one that was first named as a user."""
    who, named = _judged(merges, c, most_ids, most_users)
    drawn = {}
    for user in set(who.values()):
        ids = [one for one, called_by in who.items() if called_by == user and one in named]
        drawn[user] = min(ids, key=lambda one: (named[one], one), default=user)
    return drawn


def _judged(merges: Sequence[Merge], c: int, most_ids: int, most_users: int) -> tuple[dict[str, str], dict[str, int]]:
    """Who is called what, and when each id was first named as a user."""
    above: dict[str, str] = {}
    named: dict[str, int] = {}
    claims: dict[str, set[str]] = {}
    implied: set[tuple[str, str]] = set()
    merges = [m for m in merges if m.undone is None or m.undone > m.known]
    every = {m.alias for m in merges} | {m.user for m in merges}

    def top(one: str) -> str:
        return top(above[one]) if one in above else one

    def ids_of(one: str) -> list[str]:
        return [other for other in every if top(other) == one]

    steps = [(m.known, 1, m.alias, m.user, m.explicit, -1 if m.undone is None else m.undone, m) for m in merges]
    steps += [(m.undone, 0, m.alias, m.user, m.explicit, m.undone, m) for m in merges if m.undone is not None]
    for at, kind, alias, user, explicit, _, merge in sorted(steps, key=lambda step: step[:6]):
        if at > c:
            break
        if kind == 0:
            if above.get(alias) == user:
                del above[alias]
            continue
        if not explicit and merge.undone is None:
            if (alias, user) in implied:
                continue
            implied.add((alias, user))
        if alias in NOBODY or user in NOBODY or top(alias) == top(user) or len(claims.get(alias, ())) > most_users:
            continue
        if alias not in above and not explicit and alias in named:
            continue
        if alias not in above and len(ids_of(top(user))) + len(ids_of(alias)) > most_ids:
            continue
        claims.setdefault(alias, set()).add(user)
        if len(claims[alias]) > most_users:
            above.pop(alias, None)
        elif alias not in above:
            above[alias] = user
            named.setdefault(user, at)
    return {one: top(one) for one in every}, named


def called(log: list[Event], who: dict[str, str]) -> list[Event]:
    """The log with each event done by the person of its id."""
    return [replace(event, user=who.get(event.user, event.user)) for event in log]
