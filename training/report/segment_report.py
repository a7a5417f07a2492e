"""The report of segments: one page that is read without a network, its first screen in words."""

from collections.abc import Iterator
from pathlib import Path

import polars as pl

from features.definition.sections.outcome import Outcome
from features.time import span_name, to_datetime
from segments.rfm import tie
from serving.scoring.reasons.silence import silence
from serving.scoring.reasons.wording import Wording, number
from training.report import segment_plots as plots
from training.report.pages import in_parts
from training.report.segment_comparison import EVERYBODY, Apart, Compared

#: too few to say anything of
FEW = 20


def page(compared: Compared, *, trait: str | None) -> str:
    """The page, with the drawing library inside.

    Args:
        compared: the users.
        trait: value and churn are shown by this one, or none.
    """
    return in_parts(
        Path(__file__).with_name("segments.html.j2"),
        charts(compared, trait),
        definition=compared.definition,
        newest=to_datetime(compared.newest),
        matured=to_datetime(compared.matured),
        share=compared.share,
        words=list(first_words(compared)),
        cards=list(_cards(compared)),
    )


def charts(compared: Compared, trait: str | None) -> dict[str, tuple[str, list[plots.Picture]]]:
    """The pictures, by name, each with its caption; those of several parts wrap on a narrow screen."""
    then = f"{to_datetime(compared.matured):%d %B %Y}"
    rules, found = compared.definition, dict[str, tuple[str, list[plots.Picture]]]()
    if rules.states:
        found["states"] = ("How many users are in each state, week by week.", [plots.states(compared)])
        found["flows"] = ("Where they were four weeks ago, and where they are now.", [plots.flows(compared)])
    if rules.segments and rules.likelihoods:
        caption = f"What became of who was in a segment on {then}; dashed: everybody."
        found["outcomes"] = (caption, plots.outcomes(compared))
    if rules.segments:
        found["sizes"] = ("How many users are in each segment, week by week.", plots.sizes(compared))
    if rules.segments and compared.money:
        found["value"] = (f"What they spent in the 30 days after {then}.", [plots.value(compared)])
    for outcome in rules.amounts if rules.segments else ():
        caption = (
            "What those who are in it now are expected to bring, of whom there is enough to say; dashed: everybody."
        )
        found[f"expected_{outcome}"] = (caption, [plots.expected(compared, outcome)])
    if trait:
        caption = f"Value, and what became of users, by {trait.replace('_', ' ')}."
        found["trait"] = (caption, plots.by_trait(compared, trait))
    silent, now = compared.silent(), round(len(compared.at(compared.newest)) / compared.share)
    for outcome, rule in rules.outcomes.items() if rules.states else ():
        going = f"how likely {outcome} is" if isinstance(rule, Outcome) else f"tiers of {outcome}"
        caption = f"Where they stand and where they are going: states, and {going}."
        if text := silence(silent, outcome, now):
            caption += f" {text}"
        found[f"tiers_{outcome}"] = (caption, [plots.tiers(compared, outcome)])
    return found


def first_words(compared: Compared) -> Iterator[str]:
    """What a reader should know first, in sentences."""
    flows, before = compared.flows(), pl.col("before")
    seen = flows.filter(before != "not seen yet")
    total, moved = int(seen["users"].sum()), seen.filter(before != pl.col("after"))
    if total and len(moved):
        most = moved.sort("users", descending=True).row(0, named=True)
        yield (
            f"In four weeks {moved['users'].sum() / total:.0%} of the users changed their state; most of them "
            f"({most['users']:,}) went from {_plain(most['before'])} to {_plain(most['after'])}."
        )
    found = compared.outcomes().filter(pl.col("users") >= FEW)
    everybody = found.filter(pl.col("segment") == EVERYBODY)
    for outcome, rule in compared.definition.likelihoods.items():
        base = everybody[outcome].item() if len(everybody) else None
        others = found.filter((pl.col("segment") != EVERYBODY) & pl.col(outcome).is_not_null())
        if base and len(others):
            top = others.sort(outcome, descending=True).row(0, named=True)
            yield (
                f"{_plain(top['segment']).capitalize()}: {top[outcome]:.0%} of them "
                f"{_did(rule.will is not None, rule.signal)} within {span_name(rule.within)}, "
                f"{top[outcome] / base:.1f} times as many as of everybody."
            )
    if text := tie(compared.tied_share):
        yield text
    if compared.money and len(everybody):
        worth = found.filter(pl.col("segment") != EVERYBODY).sort("value", descending=True)
        if len(worth) and everybody["value"].item():
            best = worth.row(0, named=True)
            yield (
                f"{_plain(best['segment']).capitalize()} is worth most: {best['value']:,.2f} a user in 30 days, "
                f"{best['value'] / everybody['value'].item():.1f} times everybody's {everybody['value'].item():,.2f}."
            )


def _cards(compared: Compared) -> Iterator[dict[str, object]]:
    """Each segment: who, how many, what sets them apart, what to do."""
    wording = Wording(compared.definition)
    now = compared.members(compared.newest).group_by("segment").len("users")
    counts = dict(now.iter_rows())
    found = {row["segment"]: row for row in compared.outcomes().iter_rows(named=True)}
    expected = {row["segment"]: row for row in compared.expected().iter_rows(named=True)}
    for name, rule in compared.definition.segments.items():
        became = found.get(name, {})
        yield {
            "name": _plain(name),
            "rule": rule,
            "users": round(counts.get(name, 0) / compared.share),
            "of": counts.get(name, 0) / max(counts.get(EVERYBODY, 1), 1),
            "became": {o: became.get(o) for o in compared.definition.likelihoods},
            "value": became.get("value") if compared.money else None,
            "expected": {o: expected.get(name, {}).get(o) for o in compared.definition.amounts},
            "apart": [apart_in_words(apart, wording) for apart in compared.apart(name)],
        }


def apart_in_words(apart: Apart, wording: Wording) -> str:
    """What sets users apart, as one would say it."""
    if isinstance(apart.inside, tuple) and isinstance(apart.outside, tuple):
        value, share = apart.inside
        return f"{_plain(apart.feature)} {value}: {share:.0%} of them, {apart.outside[1]:.0%} of the others"
    text = wording.say(apart.feature, {apart.feature: apart.inside})
    other = "not known" if apart.outside is None else number(apart.outside)
    more = "more" if apart.auc > 0.5 else "less"
    share = max(apart.auc, 1 - apart.auc)
    return f"{text} (others: {other}); {share:.0%} of them have {more} of it than one of the others"


def _did(will: bool, signal: str) -> str:
    return f"had at least one {_plain(signal)}" if will else f"had no {_plain(signal)}"


def _plain(name: str) -> str:
    return name.replace("_", " ")
