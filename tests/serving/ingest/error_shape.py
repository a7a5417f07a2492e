"""A check for schemathesis: every refusal has one shape."""

import schemathesis


@schemathesis.check
def one_error_shape(ctx: object, response: schemathesis.Response, case: object) -> None:
    """Every 4xx and 5xx is JSON with ``error``, ``code`` and ``fix``."""
    if response.status_code >= 400:
        reported = response.json()
        assert {"error", "code", "fix"} <= set(reported), f"{response.status_code}: {reported}"
        assert "Traceback" not in str(reported)
        assert "pydantic.dev" not in str(reported)
