"""What Prometheus is told by each process of its own: in memory, with labels that only we choose."""

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)

import features.in_memory  # noqa: F401

#: the numbers that are shown: ours, and those of the process
SHOWN = CollectorRegistry()
ProcessCollector(registry=SHOWN)

TYPE = CONTENT_TYPE_LATEST

REQUESTS = Counter(
    "propensity_requests_total", "requests answered, by route and status", ["route", "status"], registry=SHOWN
)
SECONDS = Histogram(
    "propensity_request_seconds", "from a request's first byte until its answer, by route", ["route"],
    buckets=(0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0), registry=SHOWN,
)  # fmt: skip
EVENTS = Counter("propensity_events_total", "messages received, by what became of them", ["result"], registry=SHOWN)
SCORES = Counter(
    "propensity_scores_total", "likelihoods said, by outcome, tier and model version", ["outcome", "tier", "model"],
    registry=SHOWN,
)  # fmt: skip
ERRORS = Counter("propensity_errors_total", "requests that were not answered, by status", ["code"], registry=SHOWN)
SERVED = Gauge("propensity_model_served", "1 for each model version being served", ["outcome", "model"], registry=SHOWN)

REFUSED_MODELS = Gauge(
    "propensity_model_refused", "1 for each champion that was not taken up; an older model serves, or none",
    ["outcome", "model"], registry=SHOWN,
)  # fmt: skip

# what a worker tells; shown only by a process that works, so that no other says 0 of what it does not know
FOLDED = Counter("propensity_events_folded_total", "messages folded into profiles", registry=None)
DEFERRED = Counter("propensity_events_deferred_total", "users whose late events wait for the next batch", registry=None)
FRESHNESS = Histogram(
    "propensity_freshness_seconds", "from a message's arrival until scores show it",
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0), registry=None,
)  # fmt: skip
LAG = Gauge("propensity_lag_seconds", "age of the oldest message that was not folded yet", registry=None)
WORKER_ERRORS = Counter(
    "propensity_worker_errors_total", "rounds of the worker that failed and are tried again", registry=None
)
MOVED = Counter(
    "propensity_transitions_total", "moves between states, tiers, groups and segments", ["dimension", "cause"],
    registry=None,
)  # fmt: skip
HANDED_OFF = Counter(
    "propensity_handoff_delivered_total", "messages that destinations have taken", ["destination"], registry=None
)
HANDOFF_FAILURES = Counter(
    "propensity_handoff_failures_total", "requests that destinations did not take", ["destination"], registry=None
)

_WORKING: list[bool] = []


def show_worker() -> None:
    """Show what a worker tells, from now on; the lag is not known until it has looked once."""
    if not _WORKING:
        _WORKING.append(True)
        LAG.set(float("nan"))
        for metric in (FOLDED, DEFERRED, FRESHNESS, LAG, WORKER_ERRORS, MOVED, HANDED_OFF, HANDOFF_FAILURES):
            SHOWN.register(metric)


def page() -> bytes:
    """All numbers of this process, as Prometheus reads them."""
    return generate_latest(SHOWN)
