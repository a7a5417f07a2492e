"""A definition with states, segments and tiers for the tests of moves."""

from features.definition import Definition
from segments.tiers import TierCuts
from tests.worlds import definition_of

CUTS = {"churn": TierCuts(most=0.4, least=0.1, policy="lift")}


def moving(**changes: object) -> Definition:
    """Three states, an RFM rule, and segments with and without hysteresis."""
    return definition_of(
        **{
            "windows": [1, 7, 14, 30, 90],
            "rfm": {"signal": "visit", "window": "90d"},
            "states": {
                "silent": {"when": "days_since_visit >= 30", "min_dwell": "2d"},
                "new": "tenure_days <= 7",
                "active": "otherwise",
            },
            "segments": {
                "cart": "days_since_cart_add < 1",
                "regular": {"when": "visit_count_30d >= 10", "exit_when": "visit_count_30d < 5"},
                "leaving": "churn_tier = 'most_likely'",
                "rested": {"when": "visit_count_7d = 0", "min_dwell": "3d"},
            },
        }
        | changes
    )
