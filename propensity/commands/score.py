"""Commands that score everybody: the batch, and the segment report."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from features.errors import PropensityError
from propensity.commands.stores import memberships_of
from propensity.console import ShownSteps, err, out, progress
from propensity.options import AsJson, DefinitionFile, Ends, opened, parse_instant

if TYPE_CHECKING:
    from features.definition import Definition
    from features.events.log import Log
    from features.settings import Settings
    from features.system.progress import Steps
    from segments.rfm import RfmCuts
    from serving.scoring.batch import BatchResult
    from serving.scoring.champions import Champions
    from serving.scoring.scorer import Scorer

WithoutModels = Annotated[
    bool, typer.Option("--without-models", help="continue although models are missing that made the newest scores")
]


def score(
    definition: DefinitionFile = None,
    as_of: Annotated[
        str | None, typer.Option(help="the instant to score at (UTC), such as 2026-03-01T10:00:00Z")
    ] = None,
    ends: Ends = None,
    reasons: Annotated[
        int,
        typer.Option(
            min=0, max=20, help="the number of reasons per likelihood, and of changes since the earlier scores"
        ),
    ] = 0,
    without_models: WithoutModels = False,
    as_json: AsJson = False,
) -> None:
    """Score every user and write the records to Parquet; by default at the end of the log."""
    from features.open_log import open_log
    from features.system.files.lock import sharing
    from propensity.tables import json_results, scores
    from serving.scoring.scorer import Scorer

    rules, settings = opened(definition)
    instant = parse_instant(as_of, "--as-of")
    champions = _champions(rules, settings, without_models=without_models)
    with progress() as bars, sharing(settings.folder(rules.name)):
        steps = ShownSteps(bars)
        log = open_log(rules, settings, ends=parse_instant(ends, "--ends"), steps=steps)
        instant = log.ends if instant is None else instant
        if instant > log.ends:
            raise PropensityError("--as-of lies after the end of the log.", fix="score at or before it")
        scorer = Scorer(rules, champions.models, _cuts(log, rules, settings), uplifts=champions.uplifts)
        batch, moved = _score(log, scorer, settings, instant, reasons, steps)
    if as_json:
        typer.echo(json_results.batch(batch, scorer, instant, moved, champions.note))
    else:
        out.print(*scores.batch(batch, rules), scores.transitions(moved), sep="\n")


def _cuts(log: "Log", rules: "Definition", settings: "Settings") -> "RfmCuts | None":
    """The stored cut-offs of RFM; a definition's first job fits and stores them."""
    from features.system.files.lock import locked
    from segments.rfm_cuts import first_cuts, load_cuts

    if (cuts := load_cuts(rules, settings)) is not None:
        return cuts
    with locked(settings.folder(rules.name), wait=True):
        return first_cuts(log, rules, settings)


def _score(
    log: "Log", scorer: "Scorer", settings: "Settings", instant: int, reasons: int, steps: "Steps"
) -> "tuple[BatchResult, int | None]":
    """Write everybody's records and the transitions they make; None where a later batch has made them."""
    from features.events.write import part_files
    from features.identities.people import people_of
    from features.system.files.lock import locked
    from serving.activation.transitions import TransitionRecorder
    from serving.scoring.batch import score_all

    rules, folder = scorer.definition, settings.scores(scorer.definition.name)
    people = people_of(log)
    drawn_as = people.drawn_as(instant)
    with locked(folder):
        with steps("score", log.runs) as advance:
            batch = score_all(
                log, scorer, instant, folder, reasons=reasons, drawn_as=drawn_as,
                population=settings.population(rules.name), progress=advance,
            )  # fmt: skip
        recorder = TransitionRecorder(rules, memberships_of(rules, settings), folder)
        with steps("transitions", len(part_files(batch.path))) as advance:
            moved = recorder.batch(
                batch.path, scorer, instant, merged=people.below(instant), drawn_as=drawn_as, progress=advance
            )
            return batch, moved


def segments_report(
    definition: DefinitionFile = None,
    ends: Ends = None,
    to: Annotated[Path, typer.Option(help="the file to write")] = Path("segments.html"),
    by: Annotated[
        str | None, typer.Option(help="the trait to compare by; without it, source or the first trait")
    ] = None,
    share: Annotated[float, typer.Option(min=0.001, max=1, help="the share of users to look at")] = 1.0,
    without_models: WithoutModels = False,
) -> None:
    """Compare segments on one page: sizes, who entered and left, what happened next, what differs, what to do."""
    import tempfile

    from features.open_log import open_log
    from features.system.files.lock import sharing
    from segments.rfm_cuts import load_cuts
    from serving.scoring.scorer import Scorer
    from training.report.segment_comparison import compare
    from training.report.segment_report import page

    rules, settings = opened(definition)
    traits = rules.traits.fields if rules.traits else []
    if by is not None and by not in traits:
        raise PropensityError(f"--by {by!r} is not a trait.", fix=f"the traits are {', '.join(traits) or 'none'}")
    trait = by or ("source" if "source" in traits else next(iter(traits), None))
    champions = _champions(rules, settings, without_models=without_models)
    scorer = Scorer(rules, champions.models, load_cuts(rules, settings), uplifts=champions.uplifts)
    folder = settings.folder(rules.name)
    with progress() as bars, sharing(folder), tempfile.TemporaryDirectory(dir=folder) as scratch:
        steps = ShownSteps(bars)
        log = open_log(rules, settings, ends=parse_instant(ends, "--ends"), steps=steps)
        with steps("thirteen weeks of users", log.runs) as advance:
            found = compare(log, rules, scorer, Path(scratch) / "rows", share=share, progress=advance)
        with steps("the page"):
            to.write_text(page(found, trait=trait), encoding="utf-8")
    out.print(f"{to.resolve()}", soft_wrap=True, highlight=False)


def _champions(rules: "Definition", settings: "Settings", *, without_models: bool) -> "Champions":
    """Load the champions, and say on standard error where some are missing."""
    from serving.model.registry.loader import Loader
    from serving.scoring.champions import Champions

    found = Champions.of(Loader(rules, settings), settings.scores(rules.name), without_models=without_models)
    if found.note:
        err.print(found.note, soft_wrap=True, highlight=False, markup=False)
    return found
