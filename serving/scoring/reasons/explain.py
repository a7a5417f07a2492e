"""Why a likelihood is what it is, and what changed since it was last scored."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from features.expressions.values import Numbers, Texts
from features.rows import FeatureRows
from serving.model.model import Model
from serving.model.numbers import Floats
from serving.scoring.earlier.batch import EarlierAnswers
from serving.scoring.reasons.columns import Changes, Reasons
from serving.scoring.reasons.strongest import strongest
from serving.scoring.reasons.wording import Wording

Ints = NDArray[np.int64]

#: digits of an effect
DIGITS = 4
#: so many reasons are put into words one by one
FEW = 32

#: the values that decide a column's text, in the order of `Wording.used`
Values = tuple[float | str | None, ...]
#: puts a column of a row into words: the row's place among those given, the column's name, and the values
Say = Callable[[int, str, Values], str]


class Explainer:
    """Explains the likelihoods of some feature rows.

    Args:
        rows: what was scored.
        wording: the words of the definition.
    """

    def __init__(self, rows: FeatureRows, wording: Wording) -> None:
        self._rows = rows
        self._wording = wording
        self._worded: dict[tuple[str, Values], str] = {}
        self._at = {name: i for i, name in enumerate(rows.features.numeric)}

    def effects(self, model: Model, answered: NDArray[np.bool_]) -> Floats:
        """What each column adds to the answers there are, ``[answers, columns]``."""
        if not answered.any():
            return np.zeros((0, len(model.card.features) + len(model.card.categories)))
        matrix = model.matrix_of(self._rows)
        return model.effects(matrix if answered.all() else matrix[answered])

    def reasons(self, model: Model, answered: NDArray[np.bool_], effects: Floats, count: int) -> Reasons:
        """The strongest columns of each answer, strongest first; nothing where there is none."""
        top = strongest(effects, count)
        at, places = np.nonzero(top >= 0)
        columns = top[at, places]
        return self._reasons(model, np.flatnonzero(answered)[at], columns, effects[at, columns], self._say)

    def _say(self, _: int, name: str, values: Values) -> str:
        """Put a column into words; models give the same users much the same reasons, so each is worded once."""
        if (text := self._worded.get((name, values))) is None:
            text = self._worded[name, values] = self._wording.say(name, self._named(name, values))
        return text

    def _named(self, name: str, values: Values) -> Mapping[str, float | str | None]:
        return dict(zip(self._wording.used(name), values, strict=True))

    def changes(
        self,
        model: Model,
        answered: NDArray[np.bool_],
        effects: Floats,
        then: pl.DataFrame,
        earlier: EarlierAnswers,
        count: int,
    ) -> Changes:
        """The earlier answers, and what became of the reasons that were kept then.

        Args:
            model: what answers now.
            answered: who has an answer now; of others nothing has moved.
            effects: of the answers there are now.
            then: the earlier answers, a row for each of now's, as `Earlier.of` gives them.
            earlier: the scores they are of.
            count: how many of the reasons, those that moved most.
        """
        known = _earlier_reasons(then, [*model.card.features, *model.card.categories])
        known = known.filter(answered[known["row"].to_numpy()])
        rows, columns = known["row"].to_numpy(), known["column"].to_numpy()
        now = effects[np.searchsorted(np.flatnonzero(answered), rows), columns]
        moved = np.round(now - known["effect"].to_numpy(), DIGITS)
        order = np.lexsort((-np.abs(moved), rows))
        order = order[moved[order] != 0.0]
        nth = np.arange(len(order)) - np.searchsorted(rows[order], rows[order])
        kept = order[nth < count]
        texts = known["text"].gather(kept).to_list()
        return Changes(
            since=earlier.as_of,
            there=then["there"].to_numpy(),
            probability=then["probability"].cast(pl.Float64).fill_null(np.nan).to_numpy(),
            model=Texts.of_series(then["model"].cast(pl.String)),
            moved=self._reasons(
                model, rows[kept], columns[kept], moved[kept],
                lambda at, name, values: self._wording.moved(name, self._named(name, values), texts[at]),
                Texts.of(texts).codes,
            ),
            before=known["value"].to_numpy()[kept],
        )  # fmt: skip

    def _reasons(self, model: Model, rows: Ints, columns: Ints, effects: Numbers, say: Say, *more: Ints) -> Reasons:
        """Columns of rows with their values and texts; rows whose values and ``more`` are alike have one text."""
        names, numeric = (*model.card.features, *model.card.categories), len(model.card.features)
        values, codes, texts = np.full(len(rows), np.nan), np.arange(len(rows)), list[str]()
        named, traits = np.full(len(rows), -1), list[str]()
        # what is alike among a few is not worth looking for
        for at in _places(columns) if len(rows) > FEW else np.arange(len(rows))[:, None]:
            column, own = int(columns[at[0]]), rows[at]
            name, used = names[column], self._wording.used(names[column])
            if column < numeric:
                values[at] = self._rows.matrix[own, self._at[name]]
            else:
                trait = self._rows.traits[name]
                named[at] = np.where(trait.codes[own] < 0, -1, trait.codes[own] + len(traits))
                traits += trait.values
            first, alike = self._alike(used, own, [extra[at] for extra in more])
            codes[at] = alike + len(texts)
            every = zip(*(self._values(of, own[first]) for of in used), strict=True)
            texts += [say(place, name, one) for place, one in zip(at[first].tolist(), every, strict=True)]
        counts = np.bincount(rows, minlength=len(self._rows)).astype(np.int64)
        return Reasons(
            counts, Texts(columns, names), values, Texts(named, tuple(traits)), np.round(effects, DIGITS),
            Texts(codes, tuple(texts)),
        )  # fmt: skip

    def _alike(self, names: tuple[str, ...], rows: Ints, more: list[Ints]) -> tuple[Ints, Ints]:
        """The first of all rows whose values and codes are the same, and which of these each row is like."""
        if len(rows) == 1:
            return np.zeros(1, dtype=np.int64), np.zeros(1, dtype=np.int64)
        keys = [*(self._key(name, rows) for name in names), *more]
        _, first, alike = np.unique(keys[0], return_index=True, return_inverse=True)
        for other in keys[1:]:
            codes = np.unique(other, return_inverse=True)[1]
            both = alike * (codes.max(initial=0) + 1) + codes
            _, first, alike = np.unique(both, return_index=True, return_inverse=True)
        return first, alike

    def _key(self, column: str, rows: Ints) -> Ints | Floats:
        """What tells values of a column apart."""
        if column in self._at:
            return np.asarray(self._rows.matrix[rows, self._at[column]])
        return self._rows.traits[column].codes[rows]

    def _values(self, column: str, rows: Ints) -> Sequence[float | str | None]:
        if column in self._at:
            values: list[float] = self._rows.matrix[rows, self._at[column]].tolist()
            return [None if value != value else value for value in values]
        return self._rows.traits[column].take(rows).to_list()


def _places(columns: Ints) -> list[Ints]:
    """Where each column stands."""
    order = np.argsort(columns, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(columns[order])) + 1)


def _earlier_reasons(then: pl.DataFrame, columns: list[str]) -> pl.DataFrame:
    """The reasons that were kept: ``row, column, value, effect, text``; of columns that are still there."""
    schema = {"row": pl.Int64, "column": pl.Int64, "value": pl.Float64, "effect": pl.Float64, "text": pl.String}
    if "reasons" not in then.columns:
        return pl.DataFrame(schema=schema)
    kept = then.select(pl.int_range(pl.len(), dtype=pl.Int64).alias("row"), "reasons").explode("reasons")
    place = pl.col("feature").replace_strict(columns, list(range(len(columns))), default=None, return_dtype=pl.Int64)
    return (
        kept.drop_nulls("reasons")
        .unnest("reasons")
        .with_columns(place.alias("column"), pl.col("value").fill_null(np.nan))
        .drop_nulls("column")
        .select(pl.col(name).cast(kind) for name, kind in schema.items())
    )
