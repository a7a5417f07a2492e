"""How the tests of the API ask for scores."""

import httpx

AS_OF = "2026-03-01T10:15:00Z"
USER = "u0000001"


def score(api: httpx.Client, **body: object) -> httpx.Response:
    return api.post("/score", json={"as_of": AS_OF} | body)
