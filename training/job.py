"""The training job: log, snapshots, profiles online; then for each outcome data set, model, audit, gate, registry."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import polars as pl
from threadpoolctl import threadpool_limits

from features.definition.columns import feature_set
from features.definition.schema import Definition
from features.errors import RefusalError
from features.events.log import Log
from features.feature_store import OfflineFeatures
from features.feature_store.objects import snapshots_path, traits_path
from features.open_log import open_log
from features.rows import FeatureRows
from features.settings import Settings
from features.snapshot import write_snapshots
from features.system.files.lock import locked
from features.system.parallel import cores, each
from features.system.progress import Steps
from features.time import Instants
from features.traits import write_traits
from segments.rfm import RfmCuts
from segments.rfm_cuts import freeze_cuts
from serving.activation.hand_offs import HandOffs
from serving.model.card import ModelCard, Procedure, TreatedLabels
from serving.upkeep.materialize import materialize
from training.dataset.attach_labels import Labels
from training.dataset.dataset import Dataset, build
from training.dataset.matrices import Matrices
from training.dataset.outcomes import check_matured, snapshot_cutoffs
from training.dataset.treated import without_treated
from training.evaluation.consistency import future_check, parity, saved_alike
from training.evaluation.gate import Criterion, passes, treated_labels
from training.evaluation.leakage import Finding, audit, finding, refuse
from training.evaluation.population_leak import check_population
from training.fitting.tune import tune
from training.learn import learn, of_treated
from training.registry import Registry
from training.report.model_report import Report

#: outcomes that are learnt at the same time: while one does what keeps a single core busy, the other has the rest
AT_ONCE = 2


@dataclass(frozen=True, slots=True)
class Result:
    """One outcome's end: a registered model, or a refusal.

    Attributes:
        outcome: the question.
        version: ``outcome/7``, or None when nothing was registered.
        card: the model's.
        criteria: of the gate.
        findings: of the audit.
        promoted: whether the version is the champion now.
        refusal: why there is no model.
        run: MLflow's id of the run; empty where there is none.
        report: where the run's report is, a file or MLflow's address of it; empty where there is none.
    """

    outcome: str
    version: str | None
    card: ModelCard | None
    criteria: Sequence[Criterion] = ()
    findings: Sequence[Finding] = ()
    promoted: bool = False
    refusal: RefusalError | None = None
    run: str = ""
    report: str = ""


def train(
    definition: Definition,
    settings: Settings,
    *,
    steps: Steps,
    ends: int | None = None,
    outcomes: Sequence[str] | None = None,
    trials: int = 0,
    force: str | None = None,
    hand_offs: HandOffs | None = None,
) -> list[Result]:
    """Run the whole job: read, snapshot, put profiles online, fit, judge, audit, register, and promote by the gate.

    Args:
        definition: what to train.
        settings: where things are kept.
        steps: shows progress.
        ends: overrides the declared end of the log.
        outcomes: only these.
        trials: how many parameter sets to try for each outcome; 0 takes the usual one.
        force: promote whatever the gate says, for this reason.
        hand_offs: who was acted on; None where the definition has no destination that acts on users.

    Returns:
        A result an outcome; a refused outcome does not stop the others.

    Raises:
        StoreError: another job works on the same definition.
        UnavailableError: the model registry does not answer, or is damaged.
        RefusalError: ``log_too_short`` for any outcome.
    """
    folder, registry = settings.folder(definition.name), Registry(definition, settings)
    for outcome in outcomes or definition.outcomes:
        registry.experiment(outcome)  # a registry that does not answer is reported before the work, not after
    with locked(folder):
        log = open_log(definition, settings, ends=ends, steps=steps)
        cutoffs = snapshot_cutoffs(definition, log)
        with steps(f"features at {len(cutoffs)} cutoffs", log.runs) as advance:
            labels = Labels(definition)
            write_snapshots(log, cutoffs, definition, snapshots_path(folder), progress=advance, more=labels)
        if definition.traits is not None:
            write_traits(definition, traits_path(folder), log.live)
        with steps("profiles into the online store", log.runs) as advance:
            materialize(log, definition, settings, progress=advance)
        cuts = freeze_cuts(log, definition, settings, int(cutoffs[-1]))
        with steps("audit: change the future, ask the service"):
            future = future_check(log, cutoffs[[0, len(cutoffs) // 2, -1]], definition, folder / "probe")
            both = parity(log, definition, settings, folder / "probe")
        acted = (hand_offs, hand_offs.moves(int(cutoffs[0]))) if hand_offs is not None else None
        work = _Work(definition, settings, registry, log, cutoffs, cuts, future, both, steps, trials, force, acted)
        return work.outcomes(list(outcomes or definition.outcomes))


@dataclass(frozen=True)
class _Work:
    """What all outcomes of a job share.

    Attributes:
        alone: held while an outcome uses what serves one at a time: the feature store's staging folder, and MLflow's
            global state while a model is logged.
    """

    definition: Definition
    settings: Settings
    registry: Registry
    log: Log
    cutoffs: Instants
    cuts: RfmCuts | None
    future: Finding
    both: tuple[FeatureRows, pl.DataFrame]
    steps: Steps
    trials: int
    force: str | None
    acted: tuple[HandOffs, pl.DataFrame] | None
    alone: threading.Lock = field(default_factory=threading.Lock)

    def outcomes(self, names: list[str]) -> list[Result]:
        """Learn outcomes, `AT_ONCE` side by side; none depends on another, so their models are those of one by one."""
        # one limit around all: threads of linear algebra of two outcomes would share the cores, and sum up otherwise
        with threadpool_limits(1, user_api="blas"):
            if cores() == 1 or self.settings.engine == "spark":  # a Spark session belongs to the thread that has it
                return [self.outcome(name) for name in names]
            return list(each(names, self.outcome, workers=AT_ONCE))

    def outcome(self, outcome: str) -> Result:
        """Learn one outcome; its run in MLflow records the result, a refusal too."""
        run = ""
        try:
            with self.registry.run(outcome, self.log.ends) as run:
                result = self._learnt(outcome)
        except RefusalError as refusal:
            result = Result(outcome, None, None, refusal=refusal)
        return replace(result, run=run, report=self.registry.report(run)) if run else result

    def _learnt(self, outcome: str) -> Result:
        """Learn, judge, audit and register one outcome in the open run."""
        definition, steps, registry = self.definition, self.steps, self.registry
        with self.alone, steps(f"{outcome}: data set through the feature store"):
            data, treated, matrices = self._data(outcome)
            champion = self._comparable(registry, outcome)
        procedure = self._procedure(matrices, outcome, registry)
        with steps(f"{outcome}: fit, calibrate, judge"):
            learnt = learn(data, matrices, definition, self.cuts, champion=champion, procedure=procedure)
        with steps(f"{outcome}: audit, gate"):
            learnt = learnt if treated is None else of_treated(learnt, treated)
            card = learnt.model.card
            findings = [*audit(data, matrices, definition, learnt.answers), self.future]
            criteria = [*learnt.criteria, saved_alike(learnt.model, self.both)]
            if treated is not None:
                findings.append(finding("treated", definition.audit, treated.words, alarm=not treated.replaced))
                criteria.append(treated_labels(treated, definition.gate))
        rule, table = definition.outcomes[outcome], learnt.tables["slices"]
        report = Report(card, rule, criteria, findings, learnt.charts, learnt.against, table)
        with self.alone, steps(f"{outcome}: report, register"):
            registry.log(learnt, report)
            refuse(findings)
            version = registry.register(learnt.model)
            promoted = passes(criteria) or self.force is not None
            if promoted:
                registry.promote(outcome, version, forced=None if passes(criteria) else self.force)
        return Result(outcome, f"{outcome}/{version}", card, criteria, findings, promoted)

    def _data(self, outcome: str) -> tuple[Dataset, TreatedLabels | None, Matrices]:
        """The data set of an outcome, what is known of users who were acted on in it, and the same laid out."""
        definition, folder = self.definition, self.settings.folder(self.definition.name)
        check_matured(definition, outcome, self.cutoffs, self.log.ends)
        check_population(self.log, definition, outcome, folder / "probe")
        store = OfflineFeatures(definition, self.settings)
        data = build(snapshots_path(folder), store, definition, outcome, gather=self.log.gather)
        data, treated = without_treated(data, definition, *self.acted) if self.acted is not None else (data, None)
        return data, treated, Matrices.of(data, definition)

    def _procedure(self, matrices: Matrices, outcome: str, registry: Registry) -> Procedure:
        """How to fit: as usual, or with the parameters that were found by trying."""
        if not self.trials:
            return Procedure()
        with self.steps(f"{outcome}: {self.trials} trials", self.trials) as advance:
            tuned = tune(matrices, self.definition, outcome, self.trials, report=registry.trial, progress=advance)
        return Procedure(tuned=tuned)

    def _comparable(self, registry: Registry, outcome: str) -> ModelCard | None:
        """The champion's card, where it answers the same question from the same features."""
        champion, rule = registry.champion(outcome), self.definition.outcomes[outcome]
        if champion is None or champion.card.feature_digest != feature_set(self.definition).digest:
            return None
        asked = (rule.question, rule.among)
        return champion.card if (champion.card.question, champion.card.among) == asked else None
