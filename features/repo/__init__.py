"""The Feast repo: `feature_store.yaml`, and the objects made from the definition."""
