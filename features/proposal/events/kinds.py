"""Which events a log has, and what they are: signs of life, purchases, ways to leave, and what is done to users."""

import re
from dataclasses import dataclass, field
from datetime import datetime

from features.engines.duckdb import Connection, rows_of
from features.proposal.columns import Columns
from features.proposal.seen import money, numbers

#: names that are listed; the others of a log with more are counted together
LISTED = 200

_DONE_TO_USERS = (
    r"push|notification|e_?mail|sms|sent|delivered|delivery|bounced?|impression|served|scheduled|failed|campaign|"
    r"newsletter"
)
_BY_USERS = r"open|click|tap|tapped|read|repl(y|ied)|redeem|accept|use"
_LEAVES = (
    r"uninstall|app_remove|unregister|unsubscribe|(cancel|end|close|delete|terminate|deactivate)\w*_"
    r"(account|subscription|membership|contract|plan)|(account|subscription|membership|contract|plan)_"
    r"(cancel|end|close|delete|terminate|deactivate)\w*|churn(ed)?"
)
_BUYS = r"purchase|order|buy|bought|paid|payment|checkout_complete|transaction|sale|charge|invoice|subscribe"
_NOT_BOUGHT = r"cancel|refund|fail|abandon|start|begin|view|list|initiat|add|remove|return|unpaid|pending"
_UNDOES = r"cancel\w*|refund\w*|(item|order|product|line)_return|return(ed)?_(item|order|product|line)"
_SIGNS_UP = r"sign_?up|signed_up|regist(er|ration)|account_created|create_account|install"
_TRIAL = r"trial(_?(start|begin|began))?|start_?trial"
_REMOVES = r"remov(e|ed|al)_from_(the_)?(cart|basket|bag)|(cart|basket)_(remov|clear|empt)\w*|(product|item)_removed"
_CART = r"cart_?add|add(ed)?_?(to)?_?(the)?_?(cart|basket|bag)|(product|item)_added"


@dataclass(frozen=True, slots=True)
class Kind:
    """The events of one name.

    Attributes:
        name: their name.
        rows: how many.
        users: of how many users.
        first: the first of them.
        last: the last of them.
        worth: the column with what they are worth, where most of them have one.
        amount: the same, or else a number that these events alone have.
    """

    name: str
    rows: int
    users: int
    first: datetime
    last: datetime
    worth: str | None
    amount: str | None

    @property
    def words(self) -> str:
        """The name in small letters and underscores."""
        return re.sub(r"[^a-z0-9]+", "_", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", self.name).lower()).strip("_")

    def says(self, pattern: str) -> bool:
        """Whether the name has a word of a pattern."""
        return re.search(rf"(^|_)({pattern})(s|d|ed)?(_|$)", self.words) is not None


@dataclass(frozen=True, slots=True)
class Signals:
    """What the kinds of events are.

    Attributes:
        every: all kinds, the most frequent first.
        activity: signs of life.
        purchase: what was bought or paid.
        leave: ways to leave for good.
        cart: something was put into the cart.
        removed: something was taken out of the cart.
        undone: something bought is taken back.
        sign_up: somebody became a user.
        trial: a trial began.
        repeated: what was bought or paid, once more, under another name; it is in no purchase.
    """

    every: list[Kind]
    activity: list[Kind]
    purchase: list[Kind]
    leave: list[Kind]
    cart: list[Kind]
    removed: list[Kind]
    undone: list[Kind]
    sign_up: list[Kind]
    trial: list[Kind]
    repeated: list[Kind] = field(default_factory=list)

    @property
    def life(self) -> str:
        """What the signal of life is called: where there is nothing but purchases, they are it."""
        others = [kind for kind in self.activity if kind not in self.repeated]
        return "purchase" if others == self.purchase else "visit"

    @property
    def worth(self) -> str | None:
        """The column with what a purchase is worth."""
        return self.purchase[0].worth if self.purchase and all(kind.worth for kind in self.purchase) else None

    @property
    def refunds(self) -> list[Kind]:
        """What takes back what a purchase is worth: its amounts are in the same column."""
        return [kind for kind in self.undone if self.worth is not None and kind.worth == self.worth]


def kinds(connection: Connection, rows: str, columns: Columns) -> list[Kind]:
    """Count the events of each name.

    Args:
        connection: a connection.
        rows: SQL of rows ``u, e, t`` and the log's columns.
        columns: what they are.
    """
    worths = [one.name for one in money(columns.seen.values())]
    amounts = [one.name for one in numbers(columns.seen.values(), [g.column for g in columns.guesses.values()])]
    counted = "".join(f", count(*) FILTER ({columns.seen[n].number} <> 0)" for n in amounts)
    found = rows_of(
        connection,
        f"SELECT e, count(*), count(DISTINCT u), min(make_timestamp(t)), max(make_timestamp(t)){counted} "
        f"FROM {rows} WHERE e IS NOT NULL GROUP BY e ORDER BY 2 DESC, 1 LIMIT {LISTED}",
    )
    in_all = {name: sum(row[5 + i] for row in found) for i, name in enumerate(amounts)}
    every = []
    for name, count, users, first, last, *filled in found:
        there = [n for n, rows in zip(amounts, filled, strict=True) if rows > 0.5 * count]
        own = [n for n, rows in zip(amounts, filled, strict=True) if n in there and rows > 0.9 * in_all[n]]
        worth = next((n for n in there if n in worths), None)
        every.append(Kind(name, count, users, first, last, worth, worth or next(iter(own), None)))
    return every


def sort_out(every: list[Kind]) -> Signals:
    """Say what kinds of events are."""
    leave = [kind for kind in every if kind.says(_LEAVES) and kind.rows < 2 * kind.users]
    purchase = [k for k in every if k.says(_BUYS) and not k.says(_NOT_BOUGHT) and k not in leave]
    # beside purchases with an amount, those without one are steps of them: an invoice that is made out, a click
    purchase = [kind for kind in purchase if kind.worth is not None] or purchase
    cart = [kind for kind in every if kind.says(_CART)]
    undone = [kind for kind in every if kind.says(_UNDOES) and kind not in leave]
    done_to = [kind for kind in every if kind.says(_DONE_TO_USERS) and not kind.says(_BY_USERS)]
    activity = [kind for kind in every if kind not in (*done_to, *undone, *leave)]
    removed = [kind for kind in activity if kind.says(_REMOVES)]
    # an installed app has no account yet
    sign_up = sorted((kind for kind in activity if kind.says(_SIGNS_UP)), key=lambda kind: kind.says("install"))
    trial = [kind for kind in activity if kind.says(_TRIAL)]
    return Signals(every, activity or every, purchase, leave, cart, removed, undone, sign_up, trial)
