"""What MLflow finds by the entry point ``mlflow.artifact_repository``: notebooks read models without importing us.

MLflow loads it while it is being imported itself, so that nothing of MLflow may be imported here before it is called.
"""


def repository(artifact_uri: str, tracking_uri: str | None = None, registry_uri: str | None = None) -> object:
    """An MLflow artifact repository: of a home's files, or of MLflow's server where one keeps them."""
    from serving.model.registry.artifacts import repository_of

    return repository_of(artifact_uri, tracking_uri, registry_uri)
