"""What of a log could not be read, or is doubtful: counted, shown by example, and refused above a stated share."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from features.definition.sections.log.event_log import AtMost
from features.engines.rows import CURRENCY, USER, Check
from features.errors import EventLogError

#: words that programs write where there is no user
NOBODY = ("undefined", "Undefined", "UNDEFINED", "null", "Null", "NULL", "none", "None", "NONE", "nan", "NaN", "NAN",
          "nil", "0", "-1", "N/A", "n/a", "(not set)", "00000000-0000-0000-0000-000000000000")  # fmt: skip

#: what to do about ids that were rounded
AS_TEXT = "store ids as text or whole numbers: numbers with a fraction of this size merge users"

PLACEHOLDER = "placeholder user"

#: a share of fewer values says little; they are reported, but not refused
FEW = 20

#: examples that are kept of a finding
EXAMPLES = 3


class Finding(BaseModel):
    """Values of one kind that were found among others.

    Attributes:
        rows: how many.
        of: among how many.
        examples: some of them, each with its file.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    rows: int
    of: int
    examples: tuple[str, ...] = ()

    @property
    def share(self) -> float:
        """The share of them."""
        return self.rows / self.of if self.of else 0.0

    def __add__(self, other: "Finding") -> "Finding":
        examples = tuple(dict.fromkeys((*self.examples, *other.examples)))
        return Finding(rows=self.rows + other.rows, of=self.of + other.of, examples=examples[:EXAMPLES])


Findings = dict[str, Finding]


def together(all_findings: Iterable[Mapping[str, Finding]]) -> Findings:
    """Add findings by name."""
    whole: Findings = {}
    for findings in all_findings:
        for name, finding in findings.items():
            whole[name] = whole[name] + finding if name in whole else finding
    return whole


def unreadable(table: pa.Table, checks: Sequence[Check], file: str) -> Findings:
    """What of a batch of rows could not be read, by check."""
    found: Findings = {}
    earlier = np.zeros(table.num_rows, dtype=bool)
    for i, check in enumerate(checks):
        codes = table[f"k{i}"].to_numpy()
        bad = codes == 2
        rows = int(bad.sum())
        examples: list[str] = []
        if rows:
            shown = np.flatnonzero(bad & ~earlier)[:1_000]
            texts = dict.fromkeys(table["unread"].take(pa.array(shown)).to_pylist())
            examples = [f"{text!r} in {file}" for text in list(texts)[:EXAMPLES]]
            earlier |= bad
        found[check.name] = Finding(rows=rows, of=int((codes > 0).sum()), examples=tuple(examples))
    return found


def placeholders(keys: NDArray[np.int64], nobody: Mapping[int, str], file: str) -> Findings:
    """Rows whose user is a word for nobody.

    Args:
        keys: hashes of the rows' users, 0 where there is none.
        nobody: the words by their hash.
        file: where the rows are.
    """
    found, counts = np.unique(keys[np.isin(keys, np.fromiter(nobody, np.int64))], return_counts=True)
    ranked = sorted(zip(counts.tolist(), found.tolist(), strict=True), reverse=True)
    examples = tuple(f"{nobody[key]!r} in {file}" for _, key in ranked[:EXAMPLES])
    return {PLACEHOLDER: Finding(rows=int(counts.sum()), of=int((keys != 0).sum()), examples=examples)}


def judge(findings: Findings, limits: AtMost, checks: Sequence[Check], column: str, hint: str) -> None:
    """Refuse rows of which too much could not be read.

    Args:
        findings: of the rows that are about to be taken in.
        limits: the shares that are reported, but not refused.
        checks: what was checked.
        column: of the users.
        hint: what to do about times.

    Raises:
        EventLogError: ``unreadable``: a share is above its limit.
    """
    for check in checks:
        found = findings.get(check.name)
        if found is None or not found.rows:
            continue
        if not check.strict and (found.of < FEW or found.share <= limits.unreadable):
            continue
        if check.strict:
            raise EventLogError(f"{words(check.name, found)}.", fix=AS_TEXT, code="unreadable")
        fix = hint if check.name.startswith("time ") and hint else "correct the values, or name another column"
        fix = "add their rates to currencies.rates" if check.name.startswith(CURRENCY) else fix
        fix += f"; to leave such rows out, raise events.at_most.unreadable ({limits.unreadable:g} now)"
        raise EventLogError(f"{words(check.name, found)}.", fix=fix, code="unreadable")
    nobody = findings.get(PLACEHOLDER)
    if nobody is not None and nobody.of >= FEW and nobody.share > limits.placeholders:
        raise EventLogError(
            f"{words(PLACEHOLDER, nobody)}.",
            fix=f"leave them out, as in events.exclude: [\"{column} IN ('undefined', 'null')\"], or, where these are "
            f"real ids, raise events.at_most.placeholders ({limits.placeholders:g} now)",
            code="unreadable",
        )


def words(name: str, found: Finding) -> str:
    """A finding in words."""
    share = f"{found.share:.1%}" if found.share >= 0.0005 else "below 0.1%"
    examples = ", ".join(found.examples)
    if name == PLACEHOLDER:
        return f"{found.rows:,} of {found.of:,} rows ({share}) have a word for nobody as their user: {examples}"
    wrong = "cannot be read"
    if name.startswith(CURRENCY):
        wrong = "have no rate"
    if name.startswith(USER):
        wrong = "are numbers so large that they were rounded, so that several users have one id"
    return f"{found.rows:,} of {found.of:,} values ({share}) of {name} {wrong}: {examples}"
