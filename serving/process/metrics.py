"""The Prometheus metrics of a process: in memory, with labels that only we choose."""

import features.system.in_memory  # noqa: F401

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)

#: the numbers that are shown: ours, and those of the process
SHOWN = CollectorRegistry()
ProcessCollector(registry=SHOWN)

TYPE = CONTENT_TYPE_LATEST

REQUESTS = Counter(
    "propensity_requests_total", "requests answered, by route and status", ["route", "status"], registry=SHOWN
)
SECONDS = Histogram(
    "propensity_request_seconds", "seconds from a request's first byte until its answer, by route", ["route"],
    buckets=(0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0), registry=SHOWN,
)  # fmt: skip
EVENTS = Counter(
    "propensity_events_total",
    "messages received, by result: accepted, corrected (in place of an earlier one), duplicate, refused, or empty "
    "(a tombstone of a topic)",
    ["result"],
    registry=SHOWN,
)
SCORES = Counter(
    "propensity_scores_total", "likelihoods reported, by outcome, tier and model version", ["outcome", "tier", "model"],
    registry=SHOWN,
)  # fmt: skip
ANSWERS_KEPT = Counter(
    "propensity_answers_kept_total", "answers that were kept for the monitor, by outcome", ["outcome"], registry=SHOWN
)
ANSWERS_DROPPED = Counter(
    "propensity_answers_dropped_total", "users whose answers were not looked at for the monitor: too many waited",
    registry=SHOWN,
)  # fmt: skip
ERRORS = Counter("propensity_errors_total", "requests that failed, by status", ["code"], registry=SHOWN)
SERVED = Gauge("propensity_model_served", "1 for each model version being served", ["outcome", "model"], registry=SHOWN)

REFUSED_MODELS = Gauge(
    "propensity_model_refused", "1 for each champion that could not be loaded; an older model is served, or none",
    ["outcome", "model"], registry=SHOWN,
)  # fmt: skip

MONITOR_ALARMS = Gauge(
    "propensity_monitor_alarms",
    "1 for each alarm that propensity monitor published last, by what it is about; 0 for one that is gone",
    ["outcome", "finding"], registry=SHOWN,
)  # fmt: skip
MONITOR_RATIO = Gauge(
    "propensity_monitor_ratio", "observed over expected outcomes of the newest model version's matured predictions",
    ["outcome"], registry=SHOWN,
)  # fmt: skip
MONITOR_LABEL_AGE = Gauge(
    "propensity_monitor_label_age_seconds", "age in seconds of the newest predictions that have matured", ["outcome"],
    registry=SHOWN,
)  # fmt: skip
MONITOR_AGE = Gauge(
    "propensity_monitor_age_seconds", "seconds since propensity monitor published; not a number before it has",
    registry=SHOWN,
)  # fmt: skip
MONITOR_AGE.set(float("nan"))

# metrics of a worker; only a process with a worker shows them, so that no other reports 0 of what it does not know
FOLDED = Counter("propensity_events_folded_total", "messages folded into profiles", registry=None)
DEFERRED = Counter("propensity_events_deferred_total", "users whose late events wait for the next batch", registry=None)
FRESHNESS = Histogram(
    "propensity_freshness_seconds", "seconds from a message's arrival until scores show it",
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0), registry=None,
)  # fmt: skip
LAG = Gauge("propensity_lag_seconds", "age in seconds of the oldest message that is not folded yet", registry=None)
WORKER_ERRORS = Counter(
    "propensity_worker_errors_total", "rounds of the worker that failed; they are tried again", registry=None
)
MOVED = Counter(
    "propensity_transitions_total", "transitions between states, tiers, groups and segments", ["dimension", "cause"],
    registry=None,
)  # fmt: skip
HANDED_OFF = Counter(
    "propensity_handoff_delivered_total", "messages that destinations accepted", ["destination"], registry=None
)
HANDOFF_FAILURES = Counter(
    "propensity_handoff_failures_total", "requests to destinations that failed", ["destination"], registry=None
)

# metrics of a worker that reads a topic of Kafka
TOPIC_LAG = Gauge(
    "propensity_topic_lag_messages",
    "messages of each partition of the Kafka topic that are not read yet; not a number while this process does not "
    "read it",
    ["partition"], registry=None,
)  # fmt: skip
TOPIC_ERRORS = Counter(
    "propensity_topic_errors_total",
    "rounds of reading the Kafka topic that failed; they are tried again",
    registry=None,
)

OF_WORKER = (FOLDED, DEFERRED, FRESHNESS, LAG, WORKER_ERRORS, MOVED, HANDED_OFF, HANDOFF_FAILURES)
OF_TOPIC = (TOPIC_LAG, TOPIC_ERRORS)
_WORKING: list[bool] = []
_READING: list[bool] = []


def show_worker() -> None:
    """Show the metrics of a worker from now on; the lag is not known until the worker has looked once."""
    if not _WORKING:
        _WORKING.append(True)
        LAG.set(float("nan"))
        for metric in OF_WORKER:
            SHOWN.register(metric)


def show_topic() -> None:
    """Show the metrics of a reader of a topic from now on."""
    if not _READING:
        _READING.append(True)
        for metric in OF_TOPIC:
            SHOWN.register(metric)


def page() -> bytes:
    """All numbers of this process, as Prometheus reads them."""
    return generate_latest(SHOWN)
