"""The sections of `propensity.yaml`, as types."""
