"""A condition as a sentence: the words come from a catalogue, so that another language can be given."""

from collections.abc import Mapping

from features.definition.schema import Definition
from features.time import DAY, HOUR, MINUTE, parse_span
from serving.audience.sentences.tree import (
    Among,
    Amount,
    Answer,
    Did,
    DidNot,
    Group,
    Known,
    Lead,
    Limited,
    Member,
    Node,
    Number,
    Recency,
    RfmGroup,
    Since,
    Sql,
    State,
    Then,
    Tier,
    Trait,
)

#: templates of English; ``{limit}`` is one of ``limit.…``, ``{window}`` one of ``window.…``, ``{texts}`` of ``texts.…``
#: and ``….one`` is for a number of 1, in a language that says that otherwise
ENGLISH: Mapping[str, str] = {
    "did.times": "did {signal} {limit} times {window}",
    "did.times.one": "did {signal} {limit} time {window}",
    "did.days": "did {signal} on {limit} days {window}",
    "did.days.one": "did {signal} on {limit} day {window}",
    "did.kept": "did {signal} {limit} times {window}, counting those that stand",
    "did.kept.one": "did {signal} {limit} time {window}, counting those that stand",
    "did.kept_days": "did {signal} on {limit} days {window}, counting those that stand",
    "did.kept_days.one": "did {signal} on {limit} day {window}, counting those that stand",
    "did.sessions": "had {limit} sessions of {signal} {window}",
    "did.sessions.one": "had {limit} session of {signal} {window}",
    "did_not": "did not do {signal} {window}",
    "did_not.ever": "never did {signal}",
    "amount": "{of} of {signal} adds up to {limit} {window}",
    "recency.last": "the last {signal} was {limit} days ago",
    "recency.last.one": "the last {signal} was {limit} day ago",
    "recency.first": "the first {signal} was {limit} days ago",
    "recency.first.one": "the first {signal} was {limit} day ago",
    "recency.comeback": "the first {signal} after a long absence was {limit} days ago",
    "recency.comeback.one": "the first {signal} after a long absence was {limit} day ago",
    "recency.last_kept": "the last {signal} that stands was {limit} days ago",
    "recency.last_kept.one": "the last {signal} that stands was {limit} day ago",
    "recency.first_kept": "the first {signal} that stands was {limit} days ago",
    "recency.first_kept.one": "the first {signal} that stands was {limit} day ago",
    "since.did": "did {signal} since the last {since}",
    "since.did_not": "did not do {signal} since the last {since}",
    "then": "did {first}, then {second} within {days} days",
    "then.one": "did {first}, then {second} within {days} day",
    "state": "state {texts}",
    "rfm_group": "RFM group {texts}",
    "tier": "tier of {outcome} {texts}",
    "trait": "{trait} {texts}",
    "known": "{column} is known",
    "unknown": "{column} is not known",
    "answer.probability": "probability of {outcome} is {limit}",
    "answer.amount": "expected {outcome} is {limit}",
    "answer.percentile": "percentile of {outcome} is {limit}",
    "lead": "{lead} has {limit} points",
    "lead.one": "{lead} has {limit} point",
    "member": "is in segment {segment}",
    "member.not": "is not in segment {segment}",
    "number": "{column} is {limit}",
    "sql": "{sql}",
    "limit.at_least": "at least {n}",
    "limit.more_than": "more than {n}",
    "limit.at_most": "at most {n}",
    "limit.less_than": "less than {n}",
    "limit.exactly": "exactly {n}",
    "limit.not_exactly": "not exactly {n}",
    "limit.between": "between {n} and {upto}",
    "texts.is": "is {texts}",
    "texts.is_not": "is not {texts}",
    "texts.in": "is one of {texts}",
    "texts.not_in": "is none of {texts}",
    "texts.join": ", ",
    "window.days": "in the last {n} days",
    "window.days.one": "in the last day",
    "window.hours": "in the last {n} hours",
    "window.hours.one": "in the last hour",
    "window.minutes": "in the last {n} minutes",
    "window.minutes.one": "in the last minute",
    "window.seconds": "in the last {n} seconds",
    "window.seconds.one": "in the last second",
    "window.ever": "ever",
    "group.all": "all of these",
    "group.any": "any of these",
    "group.none": "none of these",
    "group.not_any": "none of these, and each is known",
}


def words_of(node: Node, definition: Definition, catalogue: Mapping[str, str] = ENGLISH) -> str:
    """A condition in words; of a group, its head.

    Args:
        node: the condition.
        definition: its ``wording`` may name signals, traits and columns.
        catalogue: templates by the keys of `ENGLISH`.
    """
    return _Wording(definition, catalogue).of(node)


class _Wording:
    """Fills templates."""

    def __init__(self, definition: Definition, catalogue: Mapping[str, str]) -> None:
        self._names, self._catalogue = definition.wording, catalogue

    def of(self, node: Node) -> str:
        """A condition in words."""
        match node:
            case Group():
                return self._say(f"group.{node.how}")
            case Limited():
                return self._number(node)
            case Among():
                return self._text(node)
            case DidNot():
                key = "did_not" if node.window else "did_not.ever"
                return self._say(key, signal=self._name(node.signal), window=self._window(node.window))
            case Since():
                key = "since.did" if node.did else "since.did_not"
                return self._say(key, signal=self._name(node.signal), since=self._name(node.since))
            case Then():
                first, second = self._name(node.first), self._name(node.second)
                return self._counted("then", node.days, first=first, second=second, days=f"{node.days:g}")
            case Known():
                return self._say("known" if node.known else "unknown", column=self._name(node.column))
            case Member():
                return self._say("member" if node.inside else "member.not", segment=node.segment)
            case Sql():
                return self._say("sql", sql=node.sql)

    def _number(self, node: Limited) -> str:
        upto = "" if node.upto is None else f"{node.upto:.12g}"
        limit = self._say(f"limit.{node.comparison}", n=f"{node.number:.12g}", upto=upto)
        last = node.number if node.upto is None else node.upto
        match node:
            case Did():
                named = {"signal": self._name(node.signal), "window": self._window(node.window)}
                return self._counted(f"did.{node.counted}", last, limit=limit, **named)
            case Amount():
                named = {
                    "signal": self._name(node.signal),
                    "of": self._name(node.of),
                    "window": self._window(node.window),
                }
                return self._say("amount", limit=limit, **named)
            case Recency():
                return self._counted(f"recency.{node.moment}", last, limit=limit, signal=self._name(node.signal))
            case Answer():
                return self._say(f"answer.{node.measure}", limit=limit, outcome=node.outcome)
            case Lead():
                return self._counted("lead", last, limit=limit, lead=node.lead)
            case Number():
                return self._say("number", limit=limit, column=self._name(node.column))
        raise TypeError(type(node).__name__)

    def _text(self, node: Among) -> str:
        several, joined = len(node.values) > 1, self._catalogue["texts.join"].join(node.values)
        key = (
            ("texts.in" if node.inside else "texts.not_in")
            if several
            else ("texts.is" if node.inside else "texts.is_not")
        )
        texts = self._say(key, texts=joined)
        match node:
            case State():
                return self._say("state", texts=texts)
            case RfmGroup():
                return self._say("rfm_group", texts=texts)
            case Tier():
                return self._say("tier", texts=texts, outcome=node.outcome)
            case Trait():
                return self._say("trait", texts=texts, trait=self._name(node.trait))
        raise TypeError(type(node).__name__)

    def _window(self, window: str | None) -> str:
        if window is None:
            return self._say("window.ever")
        span = parse_span(window)
        for unit, size in (("days", DAY), ("hours", HOUR), ("minutes", MINUTE)):
            if span % size == 0:
                return self._counted(f"window.{unit}", span // size, n=str(span // size))
        return self._counted("window.seconds", span // 1_000_000, n=str(span // 1_000_000))

    def _name(self, name: str) -> str:
        return self._names.get(f"name.{name}", name)

    def _counted(self, key: str, number: float, **fields: str) -> str:
        """Say something with a number; of one thing, in the words for that, where the language has them."""
        return self._say(f"{key}.one" if number == 1 and f"{key}.one" in self._catalogue else key, **fields)

    def _say(self, key: str, **fields: str) -> str:
        return self._catalogue[key].format(**fields)
