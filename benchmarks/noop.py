"""The baseline of an answer: a BentoML API that does nothing."""

import bentoml


@bentoml.service(name="noop", logging={"access": {"enabled": False}})
class Noop:
    """Answers nothing."""

    @bentoml.api(route="/score")
    async def score(self, user_ids: list[str]) -> dict[str, int]:
        """Count the ids."""
        return {"users": len(user_ids)}
