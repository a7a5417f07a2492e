"""Profiles packed for storage: a few hundred bytes a user."""

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from features.errors import FoldError
from features.profile.kernel.users import restore_profiles, trim_profiles
from features.profile.layout import H_TILES, Layout, Words

_SIZE = struct.Struct("<I")
_HEAD = struct.Struct("<qqqI")
_CODEC = pa.Codec("lz4_raw")  # a tenth of zlib's time, a third more bytes

#: what the stores hold has this form; stores of another form are not opened
FORMAT = 4

#: between the attributes and what was merged with an id: JSON has no line breaks of its own
_BREAK = b"\n"

#: the bytes before traits and profile in what a store holds of a user: since when it is what it is
STAMP = 16


def pack_all(words: Words, layout: Layout) -> list[bytes]:
    """Pack profiles, ``[users, words]``, without the tiles that no window reaches; an empty profile is ``b""``."""
    trimmed, starts = trim_profiles(layout, words)
    content, bounds = memoryview(trimmed).cast("B"), (starts * 8).tolist()
    return [
        _SIZE.pack(hi - lo) + _CODEC.compress(content[lo:hi], asbytes=True) if hi > lo else b""
        for lo, hi in pairwise(bounds)
    ]


def pack(words: Words, layout: Layout) -> bytes:
    """Pack one profile."""
    return pack_all(words.reshape(1, -1), layout)[0]


def unpack_all(packed: Sequence[bytes], layout: Layout) -> Words:
    """Unpack profiles, ``[users, words]``, with room to fold on.

    Raises:
        FoldError: the bytes are not a profile of this layout.
    """
    words = np.zeros((len(packed), layout.size), dtype=np.int64)
    unpack_into(words, np.arange(len(packed)), packed, layout)
    return words


def unpack(packed: bytes, layout: Layout) -> Words:
    """Unpack one profile."""
    words: Words = unpack_all([packed], layout)[0]
    return words


def unpack_into(words: Words, at: NDArray[np.int64], packed: Sequence[bytes], layout: Layout) -> None:
    """Unpack profiles into rows ``at`` of ``[users, words]``, which are zeros; as `unpack_all`."""
    contents = [_decompressed(content) for content in packed]
    starts = np.cumsum([0, *(len(content) // 8 for content in contents)])
    stored = np.frombuffer(b"".join(contents) or bytes(8), dtype=np.int64)
    bad = restore_profiles(layout, stored, starts, words, at)
    if bad >= 0:
        content = stored[starts[bad] : starts[bad + 1]]
        tiles = int(content[H_TILES]) if content.size > H_TILES else -1
        raise FoldError(
            f"a stored profile has {content.size} words where this definition's layout needs "
            f"{layout.tiles_at} + {tiles} x {layout.tile}.",
            fix="the definition changed after the profiles were stored: run propensity materialize",
        )


def _decompressed(packed: bytes) -> bytes:
    try:
        (size,) = _SIZE.unpack_from(packed)
        if size % 8:
            raise ValueError("it is not of whole words")
        content: bytes = _CODEC.decompress(packed[_SIZE.size :], size, asbytes=True)
    except (struct.error, pa.ArrowException, OSError, ValueError) as error:
        raise FoldError(
            f"a stored profile of {len(packed)} bytes cannot be unpacked.", fix="run propensity materialize"
        ) from error
    return content


class Attributes(NamedTuple):
    """What is known of a user besides events.

    Attributes:
        traits: the attributes, as text.
        visible_from: the first cutoff that sees them as they are; 0 where none were ever received.
    """

    traits: Mapping[str, str | None]
    visible_from: int

    def json(self) -> str:
        """The attributes as JSON; empty where there are none."""
        return json.dumps(dict(self.traits)) if self.traits else ""


#: nothing is known of somebody
NOTHING = Attributes({}, 0)


class Identity(NamedTuple):
    """What is known of an id's person, where it was merged with others.

    Attributes:
        ids: the other ids of a person who is called by this one.
        now: the id by which the person of this one is called now; empty where it is called by this one.
        drawn_as: the id by which a person's holdout is drawn, where that is not this one.
    """

    ids: tuple[str, ...] = ()
    now: str = ""
    drawn_as: str = ""

    def json(self) -> str:
        """As JSON; empty for an id that is a person by itself."""
        known = {key: value for key, value in self._asdict().items() if value}
        return json.dumps(known) if known else ""


#: an id that is a person by itself
ALONE = Identity()


def _identity(stored: Mapping[str, Any]) -> Identity:
    return Identity(tuple(stored.get("ids", ())), stored.get("now", ""), stored.get("drawn_as", ""))


@dataclass(frozen=True, slots=True)
class StoredProfile:
    """What the stores hold of a user.

    Attributes:
        through: the log is folded in through this instant.
        words: the packed profile; empty for a user who was erased, and for an id whose person is called by another.
        traits: the attributes known by then.
        position: the live log is folded in through this position; 0 where there is none.
        visible_from: the first cutoff that sees the attributes as they are.
        identity: what was merged with this id.
    """

    through: int
    words: bytes
    traits: Mapping[str, str | None]
    position: int = 0
    visible_from: int = 0
    identity: Identity = ALONE

    @property
    def attributes(self) -> Attributes:
        """The attributes, and from when on they are seen."""
        return Attributes(self.traits, self.visible_from)

    def to_bytes(self) -> bytes:
        """Pack for a store."""
        known = self.attributes.json()
        return stored_bytes(self.through, self.words, known, self.position, self.visible_from, self.identity)

    @classmethod
    def from_bytes(cls, value: bytes, *, good: int = 0) -> "StoredProfile":
        """Unpack what `to_bytes` packed; it is known to be good through an instant, or through its own if later."""
        through, position, visible_from, length = _HEAD.unpack_from(value)
        body = value[_HEAD.size :]
        known, _, merged = body[:length].partition(_BREAK)
        identity = _identity(json.loads(merged)) if merged else ALONE
        traits = json.loads(known) if known else {}
        return cls(max(through, good), body[length:], traits, position, visible_from, identity)


def stored_bytes(
    through: int, words: bytes, traits: str, position: int = 0, visible_from: int = 0, identity: Identity = ALONE
) -> bytes:
    """What a store holds of a user; traits as JSON, and the first cutoff that sees them."""
    known = traits.encode()
    if identity != ALONE:
        known += _BREAK + identity.json().encode()
    return _HEAD.pack(through, position, visible_from, len(known)) + known + words


def stored_words(value: bytes) -> bytes:
    """The packed profile in a stored value."""
    return value[_HEAD.size + _HEAD.unpack_from(value)[3] :]


def stored_through(value: bytes) -> int:
    """The instant through which a stored value is folded."""
    return stored_age(value)[1]


def stored_age(value: bytes) -> tuple[int, int]:
    """How far a stored value has come: the live position, then the instant, through which it is folded."""
    through, position, _, _ = _HEAD.unpack_from(value)
    return position, through
