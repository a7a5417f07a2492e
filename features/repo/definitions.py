"""What `feast apply` finds: it imports this file and registers the Feast objects it holds."""

from features.definition import load_definition
from features.feature_store.objects import feast_objects
from features.settings import Settings

# Feast reads module attributes, so unlike anywhere else the work is done at import.
_settings = Settings()
_definition = load_definition(_settings.definition)
globals().update(
    {f"_{o.name}": o for o in feast_objects(_definition, _settings.folder(_definition.name), _settings.engine)}
)
