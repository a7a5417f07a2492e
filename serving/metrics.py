"""What Prometheus is told, beside what BentoML tells of its own."""

from prometheus_client import Counter, Gauge, Histogram

EVENTS = Counter("propensity_events_total", "messages received, by what became of them", ["result"])
FOLDED = Counter("propensity_events_folded_total", "messages folded into profiles")
DEFERRED = Counter("propensity_events_deferred_total", "users whose late events wait for the next batch")
FRESHNESS = Histogram(
    "propensity_freshness_seconds", "from a message's arrival until scores show it",
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0),
)  # fmt: skip
LAG = Gauge("propensity_lag_seconds", "age of the oldest message that was not folded yet", multiprocess_mode="livemax")
WORKER_ERRORS = Counter("propensity_worker_errors_total", "rounds of the worker that failed and are tried again")
SCORES = Counter("propensity_scores_total", "likelihoods said, by outcome, tier and model version",
                 ["outcome", "tier", "model"])  # fmt: skip
ERRORS = Counter("propensity_errors_total", "requests that were not answered, by reason", ["code"])
SERVED = Gauge("propensity_model_served", "1 for each model version being served", ["outcome", "model"],
               multiprocess_mode="livemax")  # fmt: skip
REFUSED_MODELS = Gauge(
    "propensity_model_refused", "1 for each champion that was not taken up; an older model serves, or none",
    ["outcome", "model"], multiprocess_mode="livemax",
)  # fmt: skip
MOVED = Counter(
    "propensity_transitions_total", "moves between states, tiers, groups and segments", ["dimension", "cause"]
)
HANDED_OFF = Counter("propensity_handoff_delivered_total", "messages that destinations have taken", ["destination"])
HANDOFF_FAILURES = Counter(
    "propensity_handoff_failures_total", "requests that destinations did not take", ["destination"]
)
