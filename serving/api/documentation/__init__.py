"""The page of the API, and the OpenAPI document it shows."""
