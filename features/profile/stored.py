"""The kept profiles: every user folded through an instant, by bucket, brought forward by what is new in the log.

A run writes new files and then switches the manifest, so that one killed at any moment leaves the state before it.
"""

from collections.abc import Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path

import polars as pl

from features.definition.schema import Definition
from features.event_store.stored_events import StoredEvents
from features.events.write import part_files
from features.profile.bucket_fold import BucketFold, BucketInput, PersonFold, Runner, Threads
from features.profile.codec import stored_bytes
from features.profile.layers import Layers
from features.profile.layout import layout_of
from features.profile.manifest import ProfileManifest
from features.profile.stored_bucket import Folded
from features.profile.stored_people import WHO, MergedPeople, buckets_of, merged_people, online
from features.profile.stored_traits import StoredTraits
from features.system.files.durable import new_folder, remove_folder, replacing, write_durably
from features.system.files.kept_files import reading, sealed, unsealed
from features.system.files.places import Place


class Profiles:
    """The kept profiles of a definition.

    Args:
        definition: the definition.
        folder: where they are; each feature set needs one of its own.
    """

    def __init__(self, definition: Definition, folder: Path) -> None:
        self._layout = layout_of(definition)
        self._folder, self._place = folder, Place(str(folder))
        path = folder / "manifest.json"
        with reading(path, fix=f"remove {folder}, and run propensity materialize: the profiles are rebuilt"):
            self.manifest = ProfileManifest.model_validate_json(unsealed(path.read_bytes())) if path.exists() else None
        self._next: ProfileManifest | None = None
        self._traits: StoredTraits | None = None
        self._who = WHO.to_frame()

    def layers(self, bucket: int) -> Layers:
        """The files of a bucket."""
        return Layers(self._place, bucket, self._names(bucket))

    def _names(self, bucket: int) -> tuple[str, ...]:
        state = self.manifest
        return (state.files[bucket], *state.layers.get(bucket, [])) if state and bucket in state.files else ()

    def who(self) -> pl.DataFrame:
        """Who was who at the last run, of ids that were merged; `features.profile.stored_people.WHO`."""
        if self.manifest is None or not self.manifest.people:
            return WHO.to_frame()
        path = self._folder / self.manifest.people
        with reading(path, fix=f"remove {self._folder}, and run propensity materialize: the profiles are rebuilt"):
            return pl.read_parquet(path)

    def advance(
        self, store: StoredEvents, through: int, traits: pl.DataFrame | None, *, everyone: bool = False,
        runner: Runner | None = None,
    ) -> Iterator[pl.DataFrame]:  # fmt: skip
        """Fold the log through an instant, a bucket at a time; nothing counts before `commit`.

        New events are folded into the profiles there are. Whose new events are not later than the last one folded, or
        who has events that only now can be seen, is folded again from their bucket; so is a whole bucket that was
        rewritten, and everybody when the instant lies before the last one.

        Args:
            store: the event store.
            through: the instant.
            traits: each user's attributes, `TRAITS`.
            everyone: yield all profiles, not only the changed ones.
            runner: folds; the threads of this machine where none are given.

        Yields:
            Of each bucket the changed rows, ``user`` and ``profile`` (as `StoredProfile.to_bytes` packs it; without
            words for a user who is no longer in the log).
        """
        new_folder(self._folder)
        runner = runner or Threads(store)
        state, last, live = store.manifest, self.manifest, store.live.position
        # else users may be in other buckets than they were
        same = last is not None and last.log == state.name and not last.everyone
        usable = same and last is not None and last.through <= through and state.has_been(last.position, last.state)
        known = StoredTraits(traits, self._folder / "traits.parquet", state.buckets)
        people = self._people(store, through, last if usable else None, runner)
        number = last.run + 1 if last is not None else 0
        given = [
            BucketInput(
                bucket, state.of_bucket(bucket),
                last.position if usable and last is not None and state.merged.get(bucket, 0) <= last.position else None,
                self._names(bucket) if same else (), known.moved.get(bucket, []), people.freed.get(bucket, []),
                people.folded.get(bucket, {}),
            )
            for bucket in store.buckets
        ]  # fmt: skip
        fold = BucketFold(
            self._layout, self._place, store, known, replace(people, folded={}, freed={}), through, live, everyone,
            f"{state.name}-run-{number}",
        )  # fmt: skip
        yield people.nothing(through, live)
        found: list[Layers] = []
        for of, (names, rows) in zip(given, runner.buckets(fold, given), strict=True):
            found.append(Layers(self._place, of.bucket, names))
            yield rows
        if last is not None and not same:
            yield self._lost(last, found, stored_bytes(through, b"", "", live))
        yield people.online(through, live, everyone=everyone)  # last, over ids that are gone
        self._next = ProfileManifest(
            log=state.name,
            position=state.position,
            state=state.token,
            through=through,
            live=live,
            live_log=store.live.log,
            files={layers.bucket: layers.names[0] for layers in found},
            layers={layers.bucket: list(layers.names[1:]) for layers in found if len(layers.names) > 1},
            run=number,
            people=f"people-{state.name}-run-{number}.parquet" if len(people.who) else "",
        )
        self._traits, self._who = known, people.who

    def _people(self, store: StoredEvents, through: int, last: ProfileManifest | None, runner: Runner) -> MergedPeople:
        """Fold people whose ids were merged.

        Args:
            store: the event store.
            through: the instant.
            last: the state to fold on from; None when everybody is folded again.
            runner: folds them.
        """
        was = self.who()

        def acted(who: pl.DataFrame) -> pl.Series:
            state, since = store.manifest, last.position if last is not None else 0
            again = {bucket for bucket in store.buckets if state.merged.get(bucket, 0) > since}
            places = pl.Series([bucket in again for bucket in buckets_of(who["id"], state.buckets)], dtype=pl.Boolean)
            waiting = [user for bucket in store.buckets for user in self.layers(bucket).waiting(through)]
            names = pl.Series(waiting, dtype=pl.String)
            return pl.concat([who["id"].filter(places), store.merged.since(since), names])

        def fold(who: pl.DataFrame) -> Iterator[Folded]:
            return runner.persons(PersonFold(self._layout, through, who))

        return merged_people(store, through, was, acted if last is not None else None, fold)

    def _lost(self, last: ProfileManifest, now: list[Layers], nothing: bytes) -> pl.DataFrame:
        """What the online store gets of users who were in the log before it was rebuilt, and are not now."""
        before = [self.layers(bucket).rows() for bucket in last.files]
        there = {user for layers in now for user in layers.index["user"].to_pylist()}
        had = [rows["user"].filter(rows["profile"].is_valid()).to_pylist() for rows in before]
        others = _users_in(self._folder / last.everyone) if last.everyone else ()
        return online({user: nothing for user in chain(*had, others) if user not in there})

    @property
    def reached(self) -> ProfileManifest:
        """The state that `advance` has reached, once it is worked through."""
        if self._next is None:
            raise RuntimeError("advance() was not worked through")
        return self._next

    def commit(self) -> None:
        """Switch to the state that `advance` has reached, and remove the files of the one before."""
        if self.reached.people:
            with replacing(self._folder / self.reached.people, durable=False) as fresh:
                self._who.write_parquet(fresh)
        write_durably(self._folder / "manifest.json", sealed(self.reached.model_dump_json()))
        self.manifest = self.reached
        # after the manifest: who is killed in between looks at the same attributes again, and finds them unchanged
        if self._traits is not None:
            self._traits.save()
        for pattern in ("bucket-*", "people-*", "everyone-*"):
            for file in self._folder.glob(pattern):
                if file.name not in self.manifest.names:
                    remove_folder(file) if file.is_dir() else file.unlink()


def _users_in(folder: Path) -> Iterator[str]:
    """The users of whom other machines had written values, as older versions had them do."""
    for file in part_files(folder):
        yield from pl.read_parquet(file, columns=["user"])["user"]
