"""BG/NBD (Fader, Hardie and Lee 2005) as numbers: who comes back, from three columns of a profile."""

from collections.abc import Collection, Sequence
from itertools import product
from typing import Annotated, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from features.definition.columns import occasions

Floats = NDArray[np.float64]

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Place = Annotated[int, Field(ge=0)]


def read_columns(signal: str, names: Collection[str]) -> tuple[str, str, str]:
    """The columns that tell BG/NBD of a signal: days with it, and days since the first and since the last of them.

    Args:
        signal: the signal; where it has refunds, only orders that stand are purchases.
        names: the columns there are.
    """
    often = occasions(signal, names)
    return often.days, often.first, often.last


def repeats(times: Floats, first: Floats, last: Floats) -> tuple[Floats, Floats, Floats]:
    """What BG/NBD asks of customers: repeat purchases, the age at the last of them, and the age, in days."""
    return times - 1, np.maximum(first - last, 0.0), np.maximum(first, 1e-3)


class BgNbd(BaseModel):
    """Purchases come at a rate drawn from Gamma(r, alpha); after each one drops out with a chance from Beta(a, b).

    A customer is ``x`` repeat purchases, the last of them ``t_x`` after the first purchase, which lies ``T``
    back; times in any one unit.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    r: Positive
    alpha: Positive
    a: Positive
    b: Positive

    def alive(self, x: Floats, t_x: Floats, T: Floats) -> Floats:
        """P(the customer has not dropped out); 1 without repeat purchases, since one drops out after a purchase."""
        return _sigmoid(-self._gone(x, t_x, T))

    def logit(self, within: float, x: Floats, t_x: Floats, T: Floats) -> Floats:
        """Log-odds of at least one purchase in the time ahead: alive, and the Gamma rate does not stay silent.

        With the odds ``g`` of having dropped out and the chance ``s`` of silence of who has not, the chance is
        ``(1 - s) / (1 + g)`` and its odds are ``(1 - s) / (g + s)``: nothing is lost near 0 or 1.
        """
        silent = -(self.r + x) * np.log1p(within / (self.alpha + T))
        return np.asarray(np.log(-np.expm1(silent)) - np.logaddexp(self._gone(x, t_x, T), silent))

    def buys(self, within: float, x: Floats, t_x: Floats, T: Floats) -> Floats:
        """P(at least one purchase in the time ahead)."""
        return _sigmoid(self.logit(within, x, t_x, T))

    def _gone(self, x: Floats, t_x: Floats, T: Floats) -> Floats:
        """Log-odds that the customer has dropped out."""
        dropped = np.log(self.a / (self.b + np.maximum(x, 1.0) - 1.0))
        silence = (self.r + x) * np.log((self.alpha + T) / (self.alpha + t_x))
        return np.where(x > 0, dropped + silence, -np.inf)


class BgNbdPart(BaseModel):
    """BG/NBD as a model: its log-odds of the outcome, read off three columns of the model's matrix.

    Attributes:
        customers: the four parameters, in days.
        columns: places in the matrix of what `read_columns` names.
        within: days asked about.
        will: whether the outcome is that the signal comes, or that it does not.
        never: log-odds for users who never had the signal.
        average: the values of the three columns that effects are measured against.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    customers: BgNbd
    columns: tuple[Place, Place, Place]
    within: Positive
    will: bool
    never: Finite
    average: tuple[Finite, Finite, Finite]

    def score(self, matrix: Floats) -> Floats:
        """Log-odds of each row of a model matrix."""
        return self._score(*(matrix[:, place] for place in self.columns))

    def change(self, before: Floats, after: Floats) -> Floats:
        """How the log-odds change from one matrix to another."""
        return self.score(after) - self.score(before)

    def effects(self, matrix: Floats) -> Floats:
        """What each column of a model matrix adds to the log-odds, ``[rows, columns]``.

        Shapley values against the average user who has had the signal: a column's effect is the mean, over all orders
        in which the three columns can change from the average to the user's own, of what its change adds. The three
        together are the log-odds less those of the average user, exactly.
        """
        own = [np.ascontiguousarray(matrix[:, place]) for place in self.columns]
        usual = [np.full(len(matrix), value) for value in self.average]
        found = {
            known: self._score(*(own[i] if known[i] else usual[i] for i in range(3)))
            for known in product((False, True), repeat=3)
        }
        total = np.zeros(matrix.shape)
        for known, with_it in found.items():
            for i, place in enumerate(self.columns):
                if known[i]:
                    without = (*known[:i], False, *known[i + 1 :])
                    # orders of three columns in which this one comes when those are known
                    total[:, place] += (with_it - found[without]) / (3.0 if sum(known) != 2 else 6.0)
        return total

    @property
    def read(self) -> NDArray[np.int64]:
        """The model-matrix columns that the score hangs on."""
        return np.array(self.columns, dtype=np.int64)

    def over(self, sizes: Sequence[int]) -> Self:
        """This model over any model matrix: it reads no traits."""
        return self

    def fits(self, numeric: int, sizes: Sequence[int]) -> bool:
        """Whether a model of so many numeric columns can have this part."""
        return max(self.columns) < numeric

    def _score(self, times: Floats, first: Floats, last: Floats) -> Floats:
        known = (times >= 1.0) & ~np.isnan(first) & ~np.isnan(last)
        seen = (np.where(known, column, 1.0) for column in (times, first, last))
        logit = self.customers.logit(self.within, *repeats(*seen))
        return np.where(known, logit if self.will else -logit, self.never)


def _sigmoid(logit: Floats) -> Floats:
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * logit)))
