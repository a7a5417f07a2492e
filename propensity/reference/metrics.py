"""Every Prometheus metric."""

from prometheus_client.metrics import MetricWrapperBase

from propensity.reference.fields import UndescribedError
from propensity.reference.markdown import sentence, table
from serving.process import metrics

HEAD = """# Metrics

`/metrics` of the API and of each worker shows the numbers of that process in Prometheus' format. They are kept in memory and begin at 0 when
a process starts. Those marked *with a worker* are shown by `propensity worker`, and by a service whose worker is on; those marked *with a topic* where it also reads a topic of Kafka. When to raise an alarm is in [how to operate](../how-to/operate.md#what-to-watch).
"""

TAIL = "Each process also shows `process_cpu_seconds_total`, `process_resident_memory_bytes`, `process_open_fds` and the like."


def page() -> str:
    """The page.

    Raises:
        UndescribedError: a metric has no description.
    """
    rows = []
    for metric in collectors():
        [family] = metric.describe()
        if not family.documentation:
            raise UndescribedError(f"the metric {family.name} has no description")
        name = f"{family.name}_total" if family.type == "counter" else family.name
        labels = ", ".join(f"`{label}`" for label in metric._labelnames) or "–"
        where = "with a worker" if metric in metrics.OF_WORKER else "always"
        where = "with a topic" if metric in metrics.OF_TOPIC else where
        rows.append((f"`{name}`", family.type, labels, where, sentence(family.documentation)))
    head = ["metric", "type", "labels", "shown", "meaning"]
    return f"{HEAD}\n{table(head, sorted(rows))}\n\n{TAIL}\n"


def collectors() -> list[MetricWrapperBase]:
    """All metrics of ours."""
    return [value for value in vars(metrics).values() if isinstance(value, MetricWrapperBase)]
