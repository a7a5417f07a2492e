"""The feature store: Feast objects made from the definition, rows for training, packed profiles online."""

import features.feature_store.unchecked  # noqa: F401

from features.feature_store.objects import PROFILE_VIEW, feature_service_name
from features.feature_store.offline import OfflineFeatures
from features.feature_store.online import OnlineProfiles
from features.feature_store.open import open_store, repo_variables

__all__ = [
    "PROFILE_VIEW", "OfflineFeatures", "OnlineProfiles", "feature_service_name", "open_store",
    "repo_variables",
]  # fmt: skip
