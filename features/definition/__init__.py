"""The one definition: what `propensity.yaml` may say, and what it is checked against."""

from features.definition.file.load import load_definition
from features.definition.schema import Definition
from features.definition.sections.outcome import Outcome, TierPolicy, ValueOutcome
from features.definition.sections.rfm import RfmRule
from features.definition.sections.signal import Signal

__all__ = ["Definition", "Outcome", "RfmRule", "Signal", "TierPolicy", "ValueOutcome", "load_definition"]
