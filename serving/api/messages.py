"""What a body of the tracking API holds, for its OpenAPI document; what a message means is read in `tracking.py`."""

_ID: dict[str, object] = {"anyOf": [{"type": "string", "minLength": 1, "maxLength": 256}, {"type": "number"}]}
_INSTANT: dict[str, object] = {"type": "string", "format": "date-time"}

_FIELDS: dict[str, dict[str, object]] = {
    "userId": _ID | {"description": "the user's id"},
    "anonymousId": _ID | {"description": "the id before a login; the user's where `userId` is missing"},
    "event": {"type": "string", "description": "the name of the event, of a `track`"},
    "properties": {"type": "object", "description": "the event's columns, by the names they have in the log"},
    "traits": {"type": "object", "description": "the user's attributes, of an `identify`"},
    "previousId": _ID | {"description": "the id that `userId` takes the place of, of an `alias`"},
    "messageId": {"type": "string", "description": "the message's id: a message counts once, however often it is sent"},
    "timestamp": _INSTANT | {"description": "when it happened; the instant of arrival if left out"},
    "sentAt": _INSTANT | {"description": "when it was sent, by the same clock; corrects `timestamp` by what is wrong"},
    "batch": {
        "type": "array",
        "items": {"type": "object"},
        "description": "the messages of a `batch` or `import`, each with its `type` and the fields above",
    },
}  # fmt: skip

#: FastAPI's ``openapi_extra`` of the call
MESSAGES: dict[str, object] = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"type": "object", "properties": _FIELDS}}},
    }
}
