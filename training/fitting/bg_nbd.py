"""BG/NBD by folds over users, where an outcome is about a signal that people repeat. Pure: data in, numbers out."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.definition.sections.outcome import Outcome, Question
from features.time import DAY
from serving.model.bg_nbd import BgNbd, BgNbdPart, read_columns, repeats
from serving.model.numbers import Floats
from training.baselines.bg_nbd import fit_bg_nbd
from training.baselines.classification import is_repeated
from training.dataset.matrices import Matrices


@dataclass(frozen=True, slots=True)
class Repeating:
    """BG/NBD of all folds.

    Attributes:
        part: fitted to all users: four parameters learn next to nothing of any one of them.
        held_out: each row's score by the fit that has not seen its user.
    """

    part: BgNbdPart
    held_out: Floats


def applies(matrices: Matrices, rule: Question) -> bool:
    """Whether BG/NBD answers a question: whether a signal comes, at least once or not at all, from the cutoff on.

    It does not answer for amounts, for a label window that begins after a gap, or where a sign is declared for one of
    the columns it reads, since it bends them as it does; and at least 100 users must have had the signal, a tenth of
    them on several days.

    Args:
        matrices: the rows learnt from.
        rule: the question.
    """
    if not isinstance(rule, Outcome) or rule.gap or set(read_columns(rule.signal, matrices.names)) & set(rule.monotone):
        return False
    return is_repeated(_customers(matrices, rule, np.arange(len(matrices.y)))[1][0])


def repeating(matrices: Matrices, rule: Outcome, weights: Floats, folds: NDArray[np.int64]) -> Repeating:
    """Fit BG/NBD to all users, and for each fold to the users of the others.

    Args:
        matrices: the rows.
        rule: the question; BG/NBD `applies` to it.
        weights: of the rows.
        folds: which fold each row lies in, from 0 on.
    """
    whole = _part(matrices, rule, weights, np.arange(len(matrices.y)), None)
    held_out = np.empty(len(matrices.y))
    for fold in range(int(folds.max()) + 1):
        own = folds == fold
        part = _part(matrices, rule, weights, np.flatnonzero(~own), whole.customers)
        held_out[own] = part.score(matrices.X[own])
    return Repeating(whole, held_out)


def _part(
    matrices: Matrices, rule: Outcome, weights: Floats, rows: NDArray[np.int64], start: BgNbd | None
) -> BgNbdPart:
    """BG/NBD of the users of some rows."""
    newest, customers = _customers(matrices, rule, rows)
    columns = [matrices.names.index(name) for name in read_columns(rule.signal, matrices.names)]
    never = rows[~(matrices.X[rows, columns[0]] >= 1.0)]
    alike = never if len(never) else rows
    rate = (weights[alike] @ matrices.y[alike] + 1.0) / (weights[alike].sum() + 2.0)
    times, first, last = matrices.X[newest][:, columns].mean(axis=0).tolist()
    return BgNbdPart(
        customers=fit_bg_nbd(*customers, weights[newest], start),
        columns=(columns[0], columns[1], columns[2]),
        within=rule.within / DAY,
        will=rule.will is not None,
        never=float(np.log(rate / (1.0 - rate))),
        average=(times, first, last),
    )


def _customers(
    matrices: Matrices, rule: Outcome, rows: NDArray[np.int64]
) -> tuple[NDArray[np.int64], tuple[Floats, Floats, Floats]]:
    """The newest row of each user who has had the signal, and what BG/NBD asks of it.

    A user at two cutoffs is not two customers.
    """
    order = rows[np.lexsort((matrices.cutoffs[rows], matrices.share[rows]))]
    last_of_user = np.append(matrices.share[order][1:] != matrices.share[order][:-1], True)
    newest = np.sort(order[last_of_user])
    names = read_columns(rule.signal, matrices.names)
    times, first, last = (matrices.X[newest, matrices.names.index(name)] for name in names)
    bought = (times >= 1.0) & ~np.isnan(first) & ~np.isnan(last)
    return newest[bought], repeats(times[bought], first[bought], last[bought])
