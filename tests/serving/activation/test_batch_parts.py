"""A batch moves users a part at a time: the same however they lie in parts, and nothing holds everybody."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from features.definition import Definition
from features.time import DAY, to_datetime
from serving.activation.memberships import Memberships
from serving.activation.transitions import TransitionRecorder
from serving.database.log.live_log import LiveLog
from serving.database.schema import connect
from serving.scoring.earlier.batch import EVIDENCE, Earlier, Part, scores_path
from serving.scoring.scorer import Scorer
from tests.segments.worlds import moving
from tests.serving.activation.scenes import Hands

FIRST, SECOND = 100 * DAY, 101 * DAY
USERS = [f"u{i}" for i in range(1_300)]

#: where parts begin: a user may lie in any part of either batch
Parts = Sequence[int]


def records(definition: Definition, at: int, users: Sequence[str], moved: set[str], probability: float) -> pl.DataFrame:
    """Records as a batch writes them, in the fields that transitions are made of."""
    schema = Scorer(definition, {}, None).schema
    numbers = [int(user[1:]) for user in users]
    answers = dict(schema["intent"])["churn"]  # type: ignore[call-overload]
    likely = pl.Series([probability + number / 10_000 for number in numbers])
    answer = {"tier": pl.lit(None), "probability": likely}
    groups = {field.name: pl.lit(None, field.dtype).alias(field.name) for field in schema["rfm"].fields}  # type: ignore[attr-defined]
    known = {
        "user_id": pl.Series(users, dtype=pl.String),
        "as_of": pl.lit(to_datetime(at)),
        "last_seen": pl.lit(to_datetime(at) - timedelta(days=3)),
        "state": pl.Series(["new" if user in moved else "active" for user in users]),
        "rfm": pl.struct(**groups | {"group": pl.lit("Champions")}),
        "intent": pl.struct(
            churn=pl.struct(**{f.name: answer.get(f.name, pl.lit(None)).cast(f.dtype) for f in answers.fields})
        ),
        "segments": pl.Series([["cart"] if number % 3 == 0 else [] for number in numbers], dtype=pl.List(pl.String)),
        "leaves": pl.Series([[] for _ in users], dtype=pl.List(pl.String)),
        EVIDENCE: pl.Series([number + (at == SECOND and number % 2) for number in numbers]),
    }
    return pl.select(**known)


class Shop:
    """Two batches of scores, a day apart, and where transitions are recorded."""

    def __init__(self, address: str, folder: Path, kind: Callable[..., Memberships] = Memberships) -> None:
        self.definition, self.folder = moving(transitions={"holdout": 0}), folder
        self.live = LiveLog(connect(address))
        self.memberships = kind(self.definition, self.live, Hands(FIRST))

    def batch(self, at: int, parts: Parts, order: np.random.Generator) -> int | None:
        """Write everybody's scores, distributed as asked, and move them."""
        moved = set(USERS[::4]) if at == SECOND else set[str]()
        path = scores_path(self.folder, at)
        path.mkdir(parents=True)
        users = [USERS[i] for i in order.permutation(len(USERS) if at == SECOND else len(USERS) - 100)]
        for i, (lo, hi) in enumerate(pairwise([0, *parts, len(users)])):
            frame = records(self.definition, at, users[lo:hi], moved, 0.1 if at == FIRST else 0.2)
            frame.write_parquet(path / f"part-{i}.parquet")
        recorder = TransitionRecorder(self.definition, self.memberships, self.folder)
        return recorder.batch(path, Scorer(self.definition, {}, None), at)

    def moves(self) -> list[tuple[object, ...]]:
        made = self.memberships.history(limit=10_000)
        return sorted(
            (t.user, t.dimension, str(t.before), t.after, t.cause, dict(t.scores_before), dict(t.scores_after))
            for t in made
        )


@pytest.mark.parametrize(
    ("first", "second"), [((), ()), ((), (500, 900)), ((10, 20, 1_100), ()), (range(50, 1_000, 50), (3, 4, 700))]
)
def test_transitions_are_the_same_however_users_lie_in_parts(
    first: Parts, second: Parts, address: str, tmp_path: Path
) -> None:
    shop, order = Shop(address, tmp_path / "scores"), np.random.default_rng(len(first) + 10 * len(second))
    assert shop.batch(FIRST, first, order) == 0, "the first batch records where users are"
    expected = []
    for i, user in enumerate(USERS):
        before, after = {"churn": round(0.1 + i / 10_000, 6)}, {"churn": round(0.2 + i / 10_000, 6)}
        if i >= len(USERS) - 100:
            names = {"states": "new" if i % 4 == 0 else "active", "rfm": "Champions"}
            names |= {"segments.cart": "in"} if i % 3 == 0 else {}
            # nothing was known of them at the first batch, and something is now
            expected += [(user, name, "None", value, "behaviour", {}, after) for name, value in names.items()]
        elif i % 4 == 0:
            expected.append((user, "states", "active", "new", "behaviour" if i % 2 else "time", before, after))
    assert shop.batch(SECOND, second, order) == len(expected)
    assert shop.moves() == sorted(expected)
    shop.live.close()


class Watched(Memberships):
    """Notes of how many users it is asked at once; everybody's memberships are not to be had."""

    asked: list[int]

    def summaries(self) -> pl.DataFrame:
        raise AssertionError("everybody's memberships are read")

    def summaries_of(self, users: Sequence[str]) -> pl.DataFrame:
        self.asked.append(len(users))
        return super().summaries_of(users)


def test_nothing_holds_everybody_while_a_batch_moves_users(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memberships are asked for, and earlier answers read, a part at a time."""
    shop, order, read = Shop(address, tmp_path / "scores", Watched), np.random.default_rng(5), list[int]()
    Watched.asked = []
    parts = Earlier.parts

    @contextmanager
    def watched(earlier: Earlier) -> Iterator[list[Part]]:
        def note(frame: pl.DataFrame) -> pl.DataFrame:
            read.append(len(frame))
            return frame

        with parts(earlier) as found:
            yield [lambda part=part: part().map_batches(note) for part in found]

    monkeypatch.setattr(Earlier, "parts", watched)
    monkeypatch.delattr(Earlier, "reading")
    shop.batch(FIRST, range(100, 1_200, 100), order)
    shop.batch(SECOND, range(50, 1_300, 50), order)
    assert len(shop.moves()) > 300
    assert max(Watched.asked) == 100
    assert sum(Watched.asked) == 2 * len(USERS) - 100
    assert set(read) == {100}, "the parts of the first batch"
    shop.live.close()
