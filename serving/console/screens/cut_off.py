"""Cut-off: how many users a probability selects, how many of them will do it, and what that brings."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from starlette.responses import Response

from features.definition.sections.outcome import Outcome, Profit, ProfitTiers, ValueOutcome
from features.errors import StoreError
from features.time import day_of
from serving.console.matured import CameTrue, came_true, first_bin
from serving.console.office import Visit
from serving.console.pages import page_of
from serving.console.refusals import ConsoleError
from serving.console.screen import Screen
from serving.published.bins import STEPS, bins_published

#: rows of the table
ROWS = 10


@dataclass(frozen=True, slots=True)
class Cut:
    """What a cut-off selects.

    Attributes:
        at: the probability from which on users are selected.
        users: how many have it.
        hits: how many of them are expected to do it: the sum of their probabilities.
        precision: hits over users; None where nobody is selected.
        recall: hits over all that are expected; None where none is.
        profit: of acting on them, by the outcome's costs; None where it has none.
    """

    at: float
    users: int
    hits: float
    precision: float | None
    recall: float | None
    profit: float | None


class Cuts:
    """All cut-offs of an outcome.

    Args:
        probabilities: of everybody who has one, ascending.
        profit: what acting costs and brings; None where the outcome has no costs.
    """

    def __init__(self, probabilities: NDArray[np.float64], profit: Profit | None) -> None:
        self._sorted, self._profit = probabilities, profit
        self._sums = np.concatenate([[0.0], np.cumsum(probabilities)])
        self.users, self.expected = len(probabilities), float(self._sums[-1])

    def at(self, probability: float) -> Cut:
        """What a cut-off selects."""
        first = int(np.searchsorted(self._sorted, probability, side="left"))
        users, hits = self.users - first, self.expected - float(self._sums[first])
        return Cut(
            probability, users, hits,
            hits / users if users else None,
            hits / self.expected if self.expected else None,
            None if self._profit is None else _earned(self._profit, users, hits),
        )  # fmt: skip


def _earned(profit: Profit, users: int, hits: float) -> float:
    """What contacting users brings, as the outcome's costs have it."""
    return hits * profit.gain - users * profit.contact


@dataclass(frozen=True, slots=True)
class Matured:
    """What came true of an outcome's predictions.

    Attributes:
        at: from which probability on: the cut-off, or the next step above it.
        version: of the model.
        first: the day of the oldest batch.
        last: the day of the newest one.
        chosen: at the cut-off, by population; empty where nothing has matured.
        rows: the first population at each cut-off of the table.
        error: why it cannot be read; empty where it can.
    """

    at: float = 0.0
    version: str = ""
    first: str = ""
    last: str = ""
    chosen: Sequence[CameTrue] = ()
    rows: Sequence[CameTrue] = ()
    error: str = ""


def _matured(visit: Visit, outcome: str, cut: float) -> Matured:
    try:
        bins = bins_published(visit.office.desk.monitoring, outcome)
    except StoreError as error:
        return Matured(error=f"{error.message} {error.fix}")
    if bins is None:
        return Matured()
    of = bins.row(0, named=True)
    return Matured(
        first_bin(cut) / STEPS, of["version"], day_of(of["first"]), day_of(of["last"]),
        came_true(bins, cut), [came_true(bins, i / ROWS)[0] for i in range(ROWS)],
    )  # fmt: skip


def _show(visit: Visit) -> Response:
    definition = visit.office.desk.definition
    outcomes = [name for name, rule in definition.outcomes.items() if isinstance(rule, Outcome)]
    if not outcomes:
        return page_of(visit, "cut_off.html", "cut_off", outcomes=[], outcome="", found=None)
    outcome = visit.field("outcome") or outcomes[0]
    if outcome not in outcomes:
        raise ConsoleError("cut_off.unknown", 404, name=outcome[:60], known=", ".join(outcomes))
    found = visit.office.overviews.likelihoods(outcome)
    if found is None:
        return page_of(visit, "cut_off.html", "cut_off", outcomes=outcomes, outcome=outcome, found=None)
    as_of, series = found
    chosen = _chosen(visit, outcome)
    came = _matured(visit, outcome, chosen)
    model = next((one for one in visit.office.desk.answers.models() if one.outcome == outcome), None)
    if "x-fragment" in visit.request.headers:
        return page_of(visit, "cut_off_matured.html", "cut_off", came=came, model=model)
    cuts = Cuts(series.to_numpy(), _costs(definition.outcomes[outcome]))
    steps = [cuts.at(i / STEPS) for i in range(STEPS + 1)]
    return page_of(
        visit, "cut_off.html", "cut_off", outcomes=outcomes, outcome=outcome, found=as_of, chosen=cuts.at(chosen),
        cuts=cuts, table=[cuts.at(i / ROWS) for i in range(ROWS)], model=model, came=came,
        steps={"at": [c.at for c in steps], "users": [c.users for c in steps],
               "hits": [round(c.hits, 1) for c in steps], "profit": [c.profit for c in steps]},
    )  # fmt: skip


def _costs(rule: Outcome | ValueOutcome) -> Profit | None:
    """What acting costs and brings, where the definition says so."""
    if isinstance(rule, ValueOutcome):
        return None
    return rule.profit if "profit" in rule.model_fields_set or isinstance(rule.tiers, ProfitTiers) else None


def _chosen(visit: Visit, outcome: str) -> float:
    """The cut-off that was asked for; that of the highest tier where none was."""
    asked = visit.field("at")
    try:
        found = float(asked) if asked else None
    except ValueError:
        found = None
    if found is not None and 0 <= found <= 1:
        return found
    models = {model.outcome: model.most_likely_from for model in visit.office.desk.answers.models()}
    return min(max(models.get(outcome, 0.5), 0), 1)


SCREENS = (Screen("/cut-off", "GET", "look", _show),)
