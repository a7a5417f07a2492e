"""What a user id is: one normal form, whether it comes from a file, a message, a request or the command line.

White space around an id is left out. Otherwise text stays as it is written: letter case and Unicode composition (NFC)
are the sender's, and ids that differ in them are different users. A whole number is its digits, however it is written:
``42`` and ``42.0`` are one user, since JSON and data frames write the same number either way.
"""

import math
from typing import Annotated

from pydantic import BeforeValidator, WithJsonSchema

from features.errors import PropensityError
from features.wrong_values import kind_of

#: characters of an id, at most
LONGEST = 256

#: white space as Unicode has it; it is not part of an id when it stands at its ends
SPACE = (
    "\t\n\x0b\x0c\r\x1c\x1d\x1e\x1f \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)

#: floating-point numbers from here on no longer tell neighbouring whole numbers apart
EXACT = 2**53


class UserIdError(PropensityError, ValueError):
    """A value is not a user id."""

    code = "user_id"


def user_id(value: object) -> str:
    """The normal form of a user id.

    Args:
        value: text, or a number, as SDKs send ids.

    Raises:
        UserIdError: it is neither, is empty, has more than 256 characters, or holds characters that no log can hold.
    """
    text = value.strip(SPACE) if isinstance(value, str) else _digits(value)
    if not text:
        raise UserIdError("a user id is empty.", fix="send the id that the log has")
    if len(text) > LONGEST:
        raise UserIdError(f"a user id has {len(text):,} characters.", fix=f"use ids of at most {LONGEST}")
    if "\x00" in text or not is_unicode(text):
        raise UserIdError(
            f"user id {text!r:.60} holds a NUL or half a character.", fix="send the id that the log has, in UTF-8"
        )
    return text


def _digits(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise UserIdError(f"a user id is {kind_of(value)}.", fix="send text or a number")
    if isinstance(value, float):
        if not math.isfinite(value):
            raise UserIdError(f"a user id is {value}.", fix="send text or a number")
        return str(int(value)) if value.is_integer() and abs(value) < EXACT else repr(value)
    if abs(value) >= 10**LONGEST:  # Python itself refuses to write out much longer ones
        raise UserIdError("a user id is a number with too many digits.", fix=f"use ids of at most {LONGEST} characters")
    return str(value)


def is_unicode(text: str) -> bool:
    """Whether text can be written down as UTF-8: half a character cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


#: a user id of a request, in its normal form
UserId = Annotated[
    str,
    BeforeValidator(user_id),
    WithJsonSchema(
        {"anyOf": [{"type": "string", "minLength": 1, "maxLength": LONGEST}, {"type": "number"}]}, mode="validation"
    ),
]
