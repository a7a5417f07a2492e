"""Controls: what a condition is edited with, kind by kind."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal, get_args

from features.definition.names import RFM_GROUPS, TIERS, known_values
from features.definition.schema import Definition
from features.time import span_name
from serving.audience.sentences.columns import subjects, texts
from serving.audience.sentences.tree import (
    Amount,
    Answer,
    Comparison,
    Counted,
    Did,
    DidNot,
    Known,
    Lead,
    Leaf,
    Limited,
    Member,
    Moment,
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

#: how a control is shown; ``flag`` is a choice of two, ``texts`` are some of several, or any others
Shape = Literal["choice", "number", "text", "flag", "texts"]


@dataclass(frozen=True, slots=True)
class Control:
    """A control of a condition.

    Attributes:
        name: the field of the condition.
        shape: how it is shown.
        options: what can be chosen; empty where anything can.
        value: what it is now.
        hint: which values there are; empty where that is not known.
    """

    name: str
    shape: Shape
    options: tuple[str, ...] = ()
    value: object = None
    hint: str = ""


#: the options of a control, of a definition and of what the condition says already
Options = Callable[[Definition, Leaf], tuple[str, ...]]


def _signals(definition: Definition, _: Leaf) -> tuple[str, ...]:
    return tuple(definition.signals)


def _windows(definition: Definition, _: Leaf) -> tuple[str, ...]:
    return ("", *map(span_name, definition.windows))


def _amounts(definition: Definition, leaf: Leaf) -> tuple[str, ...]:
    signal = definition.signals.get(leaf.signal) if isinstance(leaf, Amount) else None
    return ("value", *(signal.more_values if signal is not None else ()))


def _tiers(definition: Definition, leaf: Leaf) -> tuple[str, ...]:
    return known_values(definition).get(f"{leaf.outcome}_tier", TIERS) if isinstance(leaf, Tier) else TIERS


def _measures(definition: Definition, leaf: Leaf) -> tuple[str, ...]:
    outcome = definition.outcomes.get(leaf.outcome) if isinstance(leaf, Answer) else None
    return (outcome.answer if outcome is not None else "probability", "percentile")


def _numbers(definition: Definition, _: Leaf) -> tuple[str, ...]:
    text = texts(definition)
    return tuple(name for name in subjects(definition) if name not in text)


def _fixed(*options: str) -> Options:
    return lambda definition, leaf: options


_SIGNAL: tuple[Shape, Options] = ("choice", _signals)
_LIMIT: Mapping[str, tuple[Shape, Options]] = {
    "comparison": ("choice", _fixed(*get_args(Comparison))), "number": ("number", _fixed()),
    "upto": ("number", _fixed()),
}  # fmt: skip
_AMONG: Mapping[str, tuple[Shape, Options]] = {"inside": ("flag", _fixed())}

#: of each kind its fields, in the order of its sentence
FIELDS: Final[Mapping[str, Mapping[str, tuple[Shape, Options]]]] = {
    "did": {"signal": _SIGNAL, "counted": ("choice", _fixed(*get_args(Counted))), **_LIMIT,
            "window": ("choice", _windows)},
    "did_not": {"signal": _SIGNAL, "window": ("choice", _windows)},
    "recency": {"moment": ("choice", _fixed(*get_args(Moment))), "signal": _SIGNAL, **_LIMIT},
    "amount": {"signal": _SIGNAL, "of": ("choice", _amounts), **_LIMIT, "window": ("choice", _windows)},
    "since": {"did": ("flag", _fixed()), "signal": _SIGNAL, "since": _SIGNAL},
    "then": {"first": _SIGNAL, "second": _SIGNAL, "days": ("number", _fixed())},
    "state": {**_AMONG, "values": ("texts", lambda d, _: tuple(d.states))},
    "rfm_group": {**_AMONG, "values": ("texts", lambda d, _: RFM_GROUPS)},
    "tier": {"outcome": ("choice", lambda d, _: (*d.outcomes, *(f"{name}_uplift" for name in d.uplifts))), **_AMONG,
             "values": ("texts", _tiers)},
    "answer": {"outcome": ("choice", lambda d, _: tuple(d.outcomes)), "measure": ("choice", _measures), **_LIMIT},
    "trait": {"trait": ("choice", lambda d, _: tuple(d.traits.fields) if d.traits else ()), **_AMONG,
              "values": ("texts", _fixed())},
    "lead": {"lead": ("choice", lambda d, _: tuple(d.leads)), **_LIMIT},
    "member": {"inside": ("flag", _fixed()), "segment": ("choice", lambda d, _: tuple(d.segments))},
    "number": {"column": ("choice", _numbers), **_LIMIT},
    "known": {"column": ("choice", lambda d, _: tuple(subjects(d))), "known": ("flag", _fixed())},
    "sql": {"sql": ("text", _fixed())},
}  # fmt: skip


def kinds(definition: Definition) -> list[str]:
    """The kinds of conditions of which the definition has something to say."""
    return [kind for kind in FIELDS if _first(kind, definition) is not None]


def controls(leaf: Leaf, definition: Definition) -> list[Control]:
    """The controls of a condition, in the order of its sentence."""
    found = []
    for name, (shape, options) in FIELDS[leaf.kind].items():
        if name == "upto" and isinstance(leaf, Limited) and leaf.comparison != "between":
            continue
        found.append(Control(name, shape, options(definition, leaf), getattr(leaf, name)))
    return found


def first_of(kind: str, definition: Definition) -> Leaf:
    """A condition of a kind, as it is when it is added; one of a kind that there is not is the most usual."""
    return _first(kind, definition) or _first("did", definition) or Sql(sql="TRUE")


def _first(kind: str, definition: Definition) -> Leaf | None:
    signals, outcomes = list(definition.signals), list(definition.outcomes)
    window = span_name(definition.windows[len(definition.windows) // 2]) if definition.windows else None
    traits = list(definition.traits.fields) if definition.traits else []
    made: dict[str, Callable[[], Leaf]] = {
        "did": lambda: Did(signal=signals[0], comparison="at_least", number=1.0, window=window),
        "did_not": lambda: DidNot(signal=signals[0], window=window),
        "recency": lambda: Recency(signal=signals[0], comparison="at_least", number=7.0),
        "amount": lambda: Amount(signal=_valued(definition)[0], comparison="at_least", number=1.0),
        "since": lambda: Since(signal=signals[0], since=signals[-1], did=False),
        "then": lambda: Then(first=signals[0], second=signals[-1], days=7.0),
        "state": lambda: State(values=[next(iter(definition.states))]),
        "rfm_group": lambda: RfmGroup(values=[RFM_GROUPS[3]]),
        "tier": lambda: Tier(outcome=outcomes[0], values=[TIERS[0]]),
        "answer": lambda: Answer(outcome=next(iter(definition.likelihoods)), measure="probability",
                                 comparison="at_least", number=0.5),
        "trait": lambda: Trait(trait=traits[0], values=["?"]),
        "lead": lambda: Lead(lead=next(iter(definition.leads)), comparison="at_least", number=1.0),
        "member": lambda: Member(segment=next(iter(definition.segments))),
        "number": lambda: Number(column="tenure_days", comparison="at_least", number=7.0),
        "known": lambda: Known(column=traits[0], known=True),
        "sql": lambda: Sql(sql="tenure_days >= 7"),
    }  # fmt: skip
    try:
        leaf = made[kind]()
    except (KeyError, IndexError, StopIteration):  # the definition has none
        return None
    return None if isinstance(leaf, RfmGroup) and definition.rfm is None else leaf


def _valued(definition: Definition) -> list[str]:
    return [name for name, signal in definition.signals.items() if signal.value is not None]


def changed(leaf: Leaf, given: Mapping[str, list[str]], definition: Definition) -> Leaf:
    """A condition with what was filled in; a field that cannot be read stays as it was.

    Args:
        leaf: as it was.
        given: by field, what was filled in.
        definition: what can be chosen.
    """
    kind = given.get("kind", [leaf.kind])[-1]
    if kind != leaf.kind:
        return first_of(kind, definition)
    values: dict[str, object] = leaf.model_dump()
    for control in controls(leaf, definition):
        if control.name in given:
            values[control.name] = _read(control, given[control.name])
    if isinstance(leaf, Limited):
        values = _two_of_between(values)
    made = type(leaf).model_validate(values)
    return _fitting(made, definition)


def _two_of_between(values: dict[str, object]) -> dict[str, object]:
    if values["comparison"] != "between":
        return values | {"upto": None}
    return values if values["upto"] is not None else values | {"upto": values["number"]}


def _fitting(leaf: Leaf, definition: Definition) -> Leaf:
    """A condition whose parts go together: another outcome may have other tiers and measures."""
    found = {control.name: control for control in controls(leaf, definition) if control.options}
    change: dict[str, object] = {
        name: control.options[0] for name, control in found.items()
        if control.shape == "choice" and (control.value or "") not in control.options
    }  # fmt: skip
    if isinstance(leaf, Tier):
        known = [value for value in leaf.values if value in found["values"].options]
        change |= {} if known == leaf.values else {"values": known or [found["values"].options[0]]}
    return leaf.model_copy(update=change) if change else leaf


def _read(control: Control, given: list[str]) -> object:
    match control.shape:
        case "number":
            try:
                return float(given[-1])
            except ValueError:
                return control.value
        case "flag":
            return given[-1] == "yes"
        case "texts":
            found = [text.strip() for one in given for text in one.split("\n") if text.strip()]
            return list(dict.fromkeys(found)) or control.value
        case _:
            return given[-1] or (None if "" in control.options else control.value)
