"""What OpenTelemetry gets of the package: an SDK that keeps it in memory."""

from __future__ import annotations

import time
from typing import Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import cwsandbox


class Seen:
    """What the program's exporters have got."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.tracers = TracerProvider()
        self.tracers.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.reader = InMemoryMetricReader()
        self.meters = MeterProvider([self.reader])

    def instrument(self, **options: Any) -> None:
        cwsandbox.instrument(tracer_provider=self.tracers, meter_provider=self.meters, **options)

    def spans(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.exporter.get_finished_spans() if span.name == name]

    def span(self, name: str) -> ReadableSpan:
        (found,) = self.spans(name)
        return found

    def come(self, name: str, count: int = 1) -> list[ReadableSpan]:
        """Waits for spans of what nobody has asked the outcome of."""
        ends = time.monotonic() + 20
        while len(self.spans(name)) < count and time.monotonic() < ends:
            time.sleep(0.01)
        return self.spans(name)

    def metric(self, name: str) -> dict[frozenset[tuple[str, Any]], Any]:
        """The points of a metric, by their attributes."""
        data = self.reader.get_metrics_data()
        found = [
            metric
            for resource in (data.resource_metrics if data else ())
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == name
        ]
        return {
            frozenset(point.attributes.items()): point
            for metric in found
            for point in metric.data.data_points
        }


def id_of(span: Any) -> int:
    value: int = span.get_span_context().span_id
    return value


def parent(span: ReadableSpan) -> int | None:
    return None if span.parent is None else span.parent.span_id
