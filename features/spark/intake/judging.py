"""How many rows of a log on Spark count, and whether what they say can be read."""

from collections.abc import Mapping, Sequence
from urllib.parse import unquote

from pyspark.sql import DataFrame, Row
from pyspark.sql.functions import expr

from features.definition.schema import Definition
from features.engines.rows import DROPS, Check
from features.event_store.manifest import TakenFile
from features.events.tombstones import Tombstones
from features.reading.findings import NOBODY, PLACEHOLDER, Finding, Findings, judge, together
from features.spark.executors import FILE
from features.spark.intake.files import LogFile

#: what to do about times
_TIMES = "say how they are written, as in events.time_format: '%d.%m.%Y %H:%M', or events.time_unit: s"


def judged_files(
    rows: DataFrame, definition: Definition, files: Mapping[str, LogFile], checks: Sequence[Check], erased: Tombstones
) -> list[TakenFile]:
    """Look at all rows of files once: how many count, and what could not be read.

    Args:
        rows: as `features.spark.intake.rows.event_rows` makes them.
        definition: the definition.
        files: by name; those without rows have none to count.
        checks: what was checked.
        erased: whose rows count nowhere.

    Returns:
        A description of each file, in the order in which they are named.

    Raises:
        EventLogError: too much of a file, or of all of them, cannot be read, as on one machine.
    """
    counted = rows.groupBy(FILE).agg(*map(expr, _counts(checks, erased))).collect()
    of_file = {address_of(row[FILE]): row for row in counted}
    taken = [_described(name, file, of_file.get(file.address), checks) for name, file in files.items()]
    rules, column = definition.events.at_most, definition.events.columns.user
    for file in taken:
        alone = {name: found for name, found in file.findings.items() if name != PLACEHOLDER}
        judge(alone, rules, checks, column, _TIMES)
    judge(together(file.findings for file in taken), rules, checks, column, _TIMES)
    return taken


def address_of(written: str) -> str:
    """A file's address as `LogFile` has it, of what Spark writes, which has escapes."""
    return unquote(written)


def _counts(checks: Sequence[Check], erased: Tombstones) -> list[str]:
    """What is counted of a file's rows."""
    words = ", ".join(f"'{word}'" for word in NOBODY)
    nobody = f"CASE WHEN user IN ({words}) THEN user END"
    found = ["count(*) AS n", "count(user) AS users", f"count({nobody}) AS nobody"]
    found += [f"min({nobody}) AS nobody_one", f"max({nobody}) AS nobody_other"]
    found += [f"count_if(dropped = {i}) AS d{i}" for i in range(len(DROPS))]
    gone = ", ".join(f"'{digest}'" for digest in erased.digests)
    is_gone = f"dropped < 0 AND substring(sha2(user, 256), 1, 32) IN ({gone})" if gone else "false"
    found.append(f"count_if({is_gone}) AS erased")
    for i in range(len(checks)):
        found += [f"count_if(k{i} > 0) AS of{i}", f"count_if(k{i} = 2) AS u{i}"]
        found += [f"min(unread{i}) AS one{i}", f"max(unread{i}) AS other{i}"]
    return found


def _described(name: str, file: LogFile, row: Row | None, checks: Sequence[Check]) -> TakenFile:
    described = TakenFile(path=name, size=file.size, changed=file.changed, counts={"rows": 0})
    if row is None:
        return described
    dropped = {reason: int(row[f"d{i}"]) for i, reason in enumerate(DROPS)}
    counts = {"rows": int(row["n"])} | {r: n for r, n in dropped.items() if n or r != "implausible time"}
    erased = {"erased user": int(row["erased"])} if row["erased"] else {}
    place, findings = name.rpartition("/")[2], Findings()
    for i, check in enumerate(checks):
        texts = (row[f"one{i}"], row[f"other{i}"])
        findings[check.name] = _finding(int(row[f"u{i}"]), int(row[f"of{i}"]), texts, place)
    texts = (row["nobody_one"], row["nobody_other"])
    findings[PLACEHOLDER] = _finding(int(row["nobody"]), int(row["users"]), texts, place)
    return described.model_copy(update={"counts": counts | erased, "findings": findings})


def _finding(rows: int, of: int, texts: Sequence[str | None], place: str) -> Finding:
    examples = dict.fromkeys(f"{text!r} in {place}" for text in texts if text is not None)
    return Finding(rows=rows, of=of, examples=tuple(examples))
