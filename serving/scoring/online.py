"""What the service says, without the web: champions, profiles and rules put together for a list of users."""

import logging
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Literal

import polars as pl
from pydantic import BaseModel, ConfigDict, TypeAdapter

from features.definition.schema import Definition
from features.errors import UnavailableError
from features.feature_store import OnlineProfiles
from features.settings import Settings
from features.time import to_instant
from serving.model.card import Measure
from serving.model.model import Model
from serving.process.metrics import SCORES
from serving.scoring.earlier.batch import Earlier
from serving.scoring.feature_rows import OnlineRows, online_rows
from serving.scoring.record import ScoreRecord
from serving.scoring.scorer import Scorer
from serving.scoring.scores import Scored
from serving.scoring.served import Served

log = logging.getLogger("propensity")

#: how many moved reasons are given when no number of reasons was asked for
MOVED = 5


class Missing(BaseModel):
    """A requested user without a record.

    Attributes:
        user_id: the id as requested.
        why: ``unknown_user``: no profile is stored. ``as_of_before_profile``: the profile already holds later events,
            and a profile cannot be unfolded; ask for a later instant, or score the past with the batch.
    """

    model_config = ConfigDict(frozen=True)

    user_id: str
    why: Literal["unknown_user", "as_of_before_profile"]


class Merged(BaseModel):
    """A requested id that was merged into another user; the record is under that one.

    Attributes:
        user_id: the id as requested.
        now: the id by which that person is called now.
    """

    model_config = ConfigDict(frozen=True)

    user_id: str
    now: str


_MISSING, _MERGED = TypeAdapter(list[Missing]), TypeAdapter(list[Merged])


class ScoreResponse(BaseModel):
    """The scores of the requested users.

    Attributes:
        records: one record for each user found, in the order of the request.
        missing: the users without a record, with the reason.
        merged: requested ids that belong to another user now.
    """

    model_config = ConfigDict(frozen=True)

    records: list[ScoreRecord]
    missing: list[Missing]
    merged: list[Merged] = []


class ServedModel(BaseModel):
    """A model that is being served.

    Attributes:
        outcome: the outcome it answers.
        version: name and version.
        question: the question in words.
        words: what the model is good for, in words.
        among: the population, as an SQL condition.
        base_rate: the share of yes among the labels; of a value outcome the mean amount.
        most_likely_from: the cut-off of the highest tier: a probability, or an amount.
        least_likely_up_to: the cut-off of the lowest tier.
        trained_through: the newest cutoff it was fitted on.
        feature_digest: the digest of the feature set it reads.
        metrics: the metrics on the test slice.
        baselines: the same metrics of the baselines, by name.
    """

    model_config = ConfigDict(frozen=True)

    outcome: str
    version: str
    question: str
    words: str
    among: str
    base_rate: float
    most_likely_from: float
    least_likely_up_to: float
    trained_through: str
    feature_digest: str
    metrics: dict[str, Measure]
    baselines: dict[str, dict[str, Measure]]


class Answers:
    """Answers for one definition; models are swapped when a new champion is promoted.

    An outcome without a champion is answered ``no_model``, one whose champion cannot be loaded says why; all that needs
    no model is there without any.

    Args:
        definition: what is served.
        settings: where registry and stores are.
        answered: called with what `score` and `json` answer.

    Raises:
        UnavailableError: the registry does not answer, or is damaged.
    """

    def __init__(
        self, definition: Definition, settings: Settings, answered: Callable[[Scored], None] | None = None
    ) -> None:
        self.definition, self._answered = definition, answered
        self._scores = settings.scores(definition.name)
        # one connection for calls answered at once and one for long lists in a thread of their own
        self._near, self._bulk = (OnlineProfiles(definition, settings, apply=True) for _ in range(2))
        self._served = Served(definition, settings)

    def score(
        self,
        users: Sequence[str],
        as_of: datetime,
        reasons: int,
        *,
        latest: bool = False,
        changes: bool = False,
        bulk: bool = False,
    ) -> ScoreResponse:
        """Score users at an instant.

        Args:
            users: ids; repeats are answered once.
            as_of: an aware datetime.
            reasons: how many reasons a likelihood.
            latest: the instant is now, and a user who did something later by another machine's clock is scored right
                after that.
            changes: tell what changed since the newest earlier scores of the batch.
            bulk: read through the connection for long lists.
        """
        scorer, scored, missing, merged = self._look(users, as_of, latest=latest, bulk=bulk)
        if scored is None:
            return ScoreResponse(records=[], missing=missing)
        earlier = self.earlier(as_of) if changes else None
        explained = scorer.explain(scored, reasons, earlier, reasons or MOVED) if reasons or earlier else ({}, {})
        return ScoreResponse(records=scored.to_records(*explained), missing=missing, merged=merged)

    def json(
        self,
        users: Sequence[str],
        as_of: datetime,
        reasons: int,
        *,
        latest: bool = False,
        changes: bool = False,
        bulk: bool = False,
    ) -> str:
        """As `score`, in JSON; of long lists by the shorter way, see `Scored.to_json`."""
        if changes or not bulk:
            return self.score(users, as_of, reasons, latest=latest, changes=changes, bulk=bulk).model_dump_json()
        scorer, scored, missing, merged = self._look(users, as_of, latest=latest, bulk=bulk)
        records = "[]"
        if scored is not None:
            records = scored.to_json(scorer.explain(scored, reasons).reasons if reasons else {})
        others = f'"missing":{_MISSING.dump_json(missing).decode()},"merged":{_MERGED.dump_json(merged).decode()}'
        return f'{{"records":{records},{others}}}'

    def _look(
        self, users: Sequence[str], as_of: datetime, *, latest: bool, bulk: bool
    ) -> tuple[Scorer, Scored | None, list[Missing], list[Merged]]:
        """Score users, and name those who are not known, or are others now; None when none is known."""
        scorer = self._served.scorer  # one scorer for the whole answer, whatever is promoted meanwhile
        found = self._rows(self._bulk if bulk else self._near, users, as_of, latest=latest)
        missing = [Missing.model_validate({"user_id": user, "why": why}) for user, why in found.missing.items()]
        merged = [Merged(user_id=user, now=now) for user, now in found.now.items()]
        if not len(found.rows):
            return scorer, None, missing, merged
        scored = scorer.score(found.rows, found.through)
        self._count(scored, scorer)
        if self._answered is not None:
            self._answered(scored)
        return scorer, scored, missing, merged

    def warm_up(self, now: datetime) -> None:
        """Make what the first answers would wait for, and score nobody once; call it before others call `score`."""
        self._served.scorer.warm_up()
        try:
            self.score(["warm-up"], now, 1)
        except UnavailableError as error:
            log.warning("started, and not ready: %s", error)

    def earlier(self, as_of: datetime) -> Earlier | None:
        """The newest scores of the batch before an instant."""
        return Earlier.before(self._scores, to_instant(as_of))

    def scored(self, users: Sequence[str], now: datetime) -> tuple[Scorer, Scored | None, Mapping[str, str]]:
        """Score users right now, through the connection for long lists; None when nobody is known.

        Returns:
            Who scored them, the scores, and of ids that belong to other users now, who are scored for them, to whom.

        Raises:
            UnavailableError: the store does not answer, or holds nothing.
        """
        scorer = self._served.scorer
        found = self._rows(self._bulk, users, now, latest=True)
        return scorer, scorer.score(found.rows, found.through) if len(found.rows) else None, found.now

    def inside(self, users: Sequence[str], as_of: datetime, segment: str) -> dict[str, bool]:
        """Those of the users who are in a segment at an instant, and whether they are held out of it."""
        _, scored, _ = self.scored(users, as_of)
        if scored is None:
            return {}
        inside = scored.frame.filter(pl.col("segments").list.contains(segment))
        return dict(inside.select("user", pl.col("holdout").list.contains(segment)).iter_rows())

    def _rows(self, store: OnlineProfiles, users: Sequence[str], as_of: datetime, *, latest: bool) -> OnlineRows:
        """Rows of users; a store that has lost what it held does not know who is unknown.

        Raises:
            UnavailableError: the store does not answer, or holds nothing.
        """
        found = online_rows(store, self.definition, users, to_instant(as_of), latest=latest)
        if not found.covered:
            raise UnavailableError("the online store holds no profiles.", fix="run propensity materialize")
        return found

    def _count(self, scored: Scored, scorer: Scorer) -> None:
        for name, model in scorer.models.items():
            for tier, users in Counter(scored.column(f"{name}_tier")).items():
                SCORES.labels(name, tier, model.version).inc(users)

    @property
    def scorer(self) -> Scorer:
        """What answers now; a new champion makes another one."""
        return self._served.scorer

    @property
    def profiles(self) -> OnlineProfiles:
        """The stored profiles, through the connection for long lists."""
        return self._bulk

    def models(self) -> list[ServedModel]:
        """The models being served."""
        return [_served(name, model) for name, model in self._served.scorer.models.items()]

    @property
    def refused(self) -> dict[str, str]:
        """Why a champion is not served, by outcome."""
        return self._served.refused

    @property
    def silent(self) -> dict[str, list[str]]:
        """Segments of which nothing is known, with the outcomes whose model is missing."""
        return self._served.scorer.silent

    def refresh(self) -> bool:
        """Load the champions promoted since, and RFM cut-offs; returns whether anything changed."""
        return self._served.refresh()

    def watch(self, stopped: threading.Event) -> None:
        """Load champions as they are promoted, until it is stopped."""
        self._served.watch(stopped)


def _served(outcome: str, model: Model) -> ServedModel:
    card = model.card
    return ServedModel(
        outcome=outcome,
        version=model.version,
        question=card.question,
        words=card.words,
        among=card.among,
        base_rate=card.base_rate,
        most_likely_from=card.tiers.most,
        least_likely_up_to=card.tiers.least,
        trained_through=card.trained_through,
        feature_digest=card.feature_digest,
        metrics=card.metrics,
        baselines=card.baselines,
    )
