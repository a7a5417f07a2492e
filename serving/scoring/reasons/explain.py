"""Why a likelihood is what it is, and what changed since it was last scored."""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from features.rows import FeatureRows
from serving.model.model import Model
from serving.model.numbers import Floats
from serving.scoring.previous import Earlier
from serving.scoring.reasons.wording import Wording
from serving.scoring.record import Change, Move, Reason

Answered = Callable[[str], NDArray[np.bool_]]


class Explainer:
    """Explains the likelihoods of some feature rows.

    Args:
        rows: what was scored.
        wording: the words of the definition.
    """

    def __init__(self, rows: FeatureRows, wording: Wording) -> None:
        self._rows = rows
        self._wording = wording
        self._at = {name: i for i, name in enumerate(rows.features.numeric)}
        self._texts: dict[tuple[object, ...], str] = {}

    def reasons(self, models: Mapping[str, Model], answered: Answered, count: int) -> dict[str, list[list[Reason]]]:
        """The strongest columns of each likelihood, strongest first; none where there is no answer."""
        answer: dict[str, list[list[Reason]]] = {}
        for name, model in models.items():
            answer[name] = [[] for _ in range(len(self._rows))]
            asked = np.flatnonzero(answered(name))
            if not asked.size:
                continue
            columns = [*model.card.features, *model.card.categories]
            effects = model.effects(model.matrix_of(self._rows)[asked])
            for at, effect, top in zip(asked.tolist(), effects, _strongest(effects, count), strict=True):
                answer[name][at] = [self._reason(columns[i], at, effect[i]) for i in top if effect[i] != 0.0]
        return answer

    def changes(
        self, models: Mapping[str, Model], answered: Answered, earlier: Earlier, count: int
    ) -> dict[str, list[Change | None]]:
        """The earlier answer, and what became of the reasons that were kept then."""
        before = earlier.of(self._rows.users.to_list())
        answer: dict[str, list[Change | None]] = {}
        for name, model in models.items():
            columns = {column: i for i, column in enumerate([*model.card.features, *model.card.categories])}
            asked = answered(name)
            effects = np.zeros((len(self._rows), len(columns)))
            if asked.any():
                effects[asked] = model.effects(model.matrix_of(self._rows)[asked])
            answer[name] = []
            for at, user in enumerate(self._rows.users):
                then = before.get(user, {}).get(name)
                if then is None:
                    answer[name].append(None)
                    continue
                known = [reason for reason in then.get("reasons") or [] if reason["feature"] in columns]  # type: ignore[attr-defined]
                moved = [self._move(reason, at, effects[at, columns[reason["feature"]]]) for reason in known]
                moved = sorted((m for m in moved if m.effect != 0.0), key=lambda m: -abs(m.effect))[:count]
                change = {"since": earlier.as_of, "probability": then["probability"], "model": then["model"],
                          "moved": moved if asked[at] else []}  # fmt: skip
                answer[name].append(Change.model_validate(change))
        return answer

    def _value(self, column: str, at: int) -> float | str | None:
        if column in self._at:
            value = float(self._rows.matrix[at, self._at[column]])
            return None if np.isnan(value) else value
        return self._rows.traits[column].at(at)

    def _text(self, column: str, at: int) -> str:
        values = {name: self._value(name, at) for name in self._wording.used(column)}
        key = (column, *values.values())
        if key not in self._texts:
            self._texts[key] = self._wording.say(column, values)
        return self._texts[key]

    def _reason(self, column: str, at: int, effect: float) -> Reason:
        value, text = self._value(column, at), self._text(column, at)
        return Reason.model_construct(feature=column, value=value, effect=round(float(effect), 4), text=text)

    def _move(self, then: Mapping[str, object], at: int, effect: float) -> Move:
        column = str(then["feature"])
        values = {name: self._value(name, at) for name in self._wording.used(column)}
        moved = round(float(effect) - float(str(then["effect"])), 4)
        text = self._wording.moved(column, values, str(then["text"]))
        return Move.model_validate(
            {"feature": column, "value": values[column], "before": then["value"], "effect": moved, "text": text}
        )


def _strongest(effects: Floats, count: int) -> NDArray[np.int64]:
    """Columns of the strongest effects of each row, strongest first; equal ones in the order of the columns."""
    return np.argsort(-np.abs(effects), axis=1, kind="stable")[:, :count]
