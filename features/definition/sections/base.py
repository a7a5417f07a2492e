"""What all parts of the definition are made of: names, spans, SQL, and strictness."""

from collections.abc import Callable
from typing import Annotated

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    GetPydanticSchema,
    PlainSerializer,
    StringConstraints,
)

from features.expressions.expression import Expression
from features.time import parse_span, span_name

Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,40}$")]
ProjectName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,40}$")]
Span = Annotated[int, BeforeValidator(parse_span), PlainSerializer(span_name, return_type=str)]

_Text = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1),
    AfterValidator(Expression),
    PlainSerializer(str, return_type=str),
]
Sql = Annotated[Expression, GetPydanticSchema(lambda _, handler: handler(_Text))]


class Strict(BaseModel):
    """A part of the definition: unknown keys are errors, and nothing changes after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


#: for keys that came later: where they are not set they are not written, and definitions keep their digests
not_set: Callable[[object], bool] = lambda value: not value  # noqa: E731
