"""The kept profiles: every user folded through an instant, a file a bucket, brought forward by what is new in the log.

A run writes new files and then switches the manifest, so that one killed at any moment leaves the state before it.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from features.definition.schema import Definition
from features.fold import fold_into
from features.log.events import Events
from features.log.manifest import write_durably
from features.log.store import EventStore
from features.packed import STAMP, StoredProfile, pack_all, stored_bytes, unpack
from features.parallel import each
from features.profile import H_LAST, NEVER, layout_of
from features.rows import INSTANT

#: users folded at once
RUN = 1_000

#: what a bucket's file holds; ``ahead`` is the first cutoff that sees an event not folded in yet, ``profile`` what the
#: online store holds, null before anything of the user can be seen
SCHEMA = pl.Schema(
    {"user": pl.String(), "through": INSTANT, "ahead": pl.Int64(), "traits": pl.String(), "profile": pl.Binary()}
)
FOLDED = pl.Schema({"user": pl.String(), "ahead": pl.Int64(), "words": pl.Binary()})
TRAITS = pl.Schema({"user": pl.String(), "traits": pl.String()})


class ProfileManifest(BaseModel):
    """A complete state of the kept profiles.

    Attributes:
        log: which event store, and how many times it had been built anew.
        position: the log is folded in through this position.
        through: and through this instant.
        files: the file of each bucket.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    log: str
    position: int
    through: int
    files: dict[int, str]

    @property
    def token(self) -> str:
        """What tells this state from others."""
        return f"{self.log}/{self.position}/{self.through}"


class Profiles:
    """The kept profiles of a definition.

    Args:
        definition: the definition.
        folder: where they are; each feature set needs one of its own.
    """

    def __init__(self, definition: Definition, folder: Path) -> None:
        self._layout = layout_of(definition)
        self._folder = folder
        path = folder / "manifest.json"
        self.manifest = ProfileManifest.model_validate_json(path.read_bytes()) if path.exists() else None
        self._next: ProfileManifest | None = None

    def advance(
        self, store: EventStore, through: int, traits: pl.DataFrame | None, *, everyone: bool = False
    ) -> Iterator[pl.DataFrame]:
        """Fold the log through an instant, a bucket at a time; nothing counts before `commit`.

        New events are folded into the profiles there are. Whose new events are not later than the last one folded, or
        who has events that only now can be seen, is folded again from their bucket; so is a whole bucket that was
        written anew, and everybody when the instant lies before the last one.

        Args:
            store: the event store.
            through: the instant.
            traits: columns ``user`` and ``traits``, each user's attributes as JSON.
            everyone: yield all profiles, not only the changed ones.

        Yields:
            Of each bucket the changed rows, ``user`` and ``profile`` (as `StoredProfile.to_bytes` packs it; without
            words for a user who is no longer in the log).
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        log = f"{store.manifest.made_of}-{store.manifest.generation}"
        last = self.manifest
        usable = last is not None and last.log == log and last.through <= through
        known = traits if traits is not None else pl.DataFrame(schema=TRAITS)

        def work(bucket: int) -> tuple[int, str, pl.DataFrame]:
            before = self._read(bucket)
            if usable and last is not None and store.manifest.merged.get(bucket, 0) <= last.position:
                folded, name = self._more(store, bucket, last.position, through, before), last.files[bucket]
                rest = before.join(folded, on="user", how="anti")
                folded = pl.concat([folded, _other_traits(rest, known)])
            else:
                folded, name, rest = self._folded(store.bucket(bucket, ends=NEVER), through), "", before.clear()
            moved = _moved(folded, before, known, through)
            kept = rest.join(folded, on="user", how="anti")
            changed = moved.filter("changed")
            rows = pl.concat([moved.select(SCHEMA.names()), kept])
            if len(folded) or not name:
                name = f"bucket-{bucket:04d}-{log}-{store.manifest.position}-{through}.parquet"
                rows.sort("user").write_parquet(self._folder / f"{name}.new", compression="lz4")
                (self._folder / f"{name}.new").replace(self._folder / name)
            shown = (rows if everyone else changed).select("user", "profile").drop_nulls()
            gone = before.drop_nulls("profile").join(rows, on="user", how="anti").select("user")
            lost = gone.with_columns(profile=pl.lit(stored_bytes(through, b"", ""), pl.Binary()))
            return bucket, name, pl.concat([shown, lost])

        files: dict[int, str] = {}
        for bucket, name, rows in each(store.buckets, work):
            files[bucket] = name
            yield rows
        self._next = ProfileManifest(log=log, position=store.manifest.position, through=through, files=files)

    @property
    def reached(self) -> ProfileManifest:
        """The state that `advance` has reached, once it is worked through."""
        if self._next is None:
            raise RuntimeError("advance() was not worked through")
        return self._next

    def commit(self) -> None:
        """Switch to the state that `advance` has reached, and remove the files of the one before."""
        write_durably(self._folder / "manifest.json", self.reached.model_dump_json().encode())
        self.manifest = self.reached
        named = set(self.manifest.files.values())
        for file in self._folder.glob("bucket-*"):
            if file.name not in named:
                file.unlink()

    def _read(self, bucket: int) -> pl.DataFrame:
        name = self.manifest.files.get(bucket) if self.manifest else None
        return pl.read_parquet(self._folder / name) if name else pl.DataFrame(schema=SCHEMA)

    def _folded(self, events: Events, through: int) -> pl.DataFrame:
        """Fold users from their beginning."""
        starts = range(0, len(events.users), RUN)
        runs = [self._run(events, lo, min(lo + RUN, len(events.users)), through, {})[0] for lo in starts]
        return pl.concat([pl.DataFrame(schema=FOLDED), *runs])

    def _more(self, store: EventStore, bucket: int, since: int, through: int, before: pl.DataFrame) -> pl.DataFrame:
        """Fold what is new into the profiles there are; who cannot be folded on is folded again."""
        new = store.bucket(bucket, since=since, ends=NEVER)
        again = set(before.filter(pl.col("ahead") <= through)["user"])
        held = before.join(new.users.to_frame(), on="user", how="semi")
        stored = {user: (ahead, value) for user, ahead, value in held.select("user", "ahead", "profile").iter_rows()}
        frames = [pl.DataFrame(schema=FOLDED)]
        for lo in range(0, len(new.users), RUN):
            frame, late = self._run(new, lo, min(lo + RUN, len(new.users)), through, stored)
            frames.append(frame)
            again |= late
        rows = pl.concat(frames)
        if not again:
            return rows
        events, users = store.bucket(bucket, ends=NEVER), sorted(again)
        whole = self._folded(events.of_users(events.users.is_in(users).to_numpy()), through)
        return pl.concat([rows.filter(~pl.col("user").is_in(users)), whole])

    def _run(
        self, events: Events, lo: int, hi: int, through: int, stored: dict[str, tuple[int, bytes | None]]
    ) -> tuple[pl.DataFrame, set[str]]:
        """Fold the events of users ``[lo, hi)`` into what is stored of them; and say who came too late for that."""
        users = events.users[lo:hi]
        words, ahead = np.zeros((hi - lo, self._layout.size), dtype=np.int64), np.full(hi - lo, NEVER)
        late: set[str] = set()
        for i, user in enumerate(users if stored else ()):
            if user in stored:
                ahead[i], value = stored[user]
                if value is None:
                    late.add(user)  # all that is kept of them is that something will be seen
                else:
                    words[i] = unpack(StoredProfile.from_bytes(value).words, self._layout)
                    if events.t[events.starts[lo + i]] <= words[i, H_LAST]:
                        late.add(user)
        fold_into(events, lo, hi, through, self._layout, words, ahead)
        packed = [value or None for value in pack_all(words, self._layout)]
        return pl.DataFrame([users, pl.Series("ahead", ahead), pl.Series("words", packed, pl.Binary)]), late


def traits_json(traits: pl.DataFrame | None) -> pl.DataFrame | None:
    """Each user's attributes as JSON: columns ``user`` and ``traits``."""
    if traits is None:
        return None
    return traits.select("user", pl.struct(pl.exclude("user")).struct.json_encode().alias("traits"))


def _other_traits(rest: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
    """Of users without new events, those whose attributes have changed, `FOLDED`."""
    both = rest.drop_nulls("profile").join(known, on="user", how="left", suffix="_now")
    other = both.filter(pl.col("traits").ne_missing(pl.col("traits_now")))
    words = [StoredProfile.from_bytes(value).words for value in other["profile"]]
    return other.select("user", "ahead").with_columns(pl.Series("words", words, pl.Binary))


def _moved(folded: pl.DataFrame, before: pl.DataFrame, known: pl.DataFrame, through: int) -> pl.DataFrame:
    """Rows of `SCHEMA` for folded users, with ``changed``; who is what they were keeps the row as it was."""
    rows = folded.join(known, on="user", how="left")
    was = before.select("user", pl.col("profile").alias("was"), pl.col("through").alias("since"))
    rows = rows.join(was, on="user", how="left")
    values = [
        None if words is None else stored_bytes(through, words, traits or "")
        for words, traits in rows.select("words", "traits").iter_rows()
    ]
    same = [
        value is not None and was is not None and value[STAMP:] == was[STAMP:]
        for value, was in zip(values, rows["was"], strict=True)
    ]
    rows = rows.with_columns(pl.Series("value", values, pl.Binary), pl.Series("same", same, pl.Boolean))
    kept = pl.col("same")
    return rows.select(
        "user",
        pl.when(kept).then("since").otherwise(pl.lit(through).cast(INSTANT)).alias("through"),
        "ahead",
        "traits",
        pl.when(kept).then("was").otherwise("value").alias("profile"),
        (~kept).alias("changed"),
    )


def words_of(rows: pl.DataFrame, definition: Definition) -> NDArray[np.int64]:
    """Unpack the profiles of rows, ``[users, words]``."""
    layout = layout_of(definition)
    words = [unpack(StoredProfile.from_bytes(value).words, layout) for value in rows["profile"]]
    return np.array(words, dtype=np.int64).reshape(len(words), layout.size)
