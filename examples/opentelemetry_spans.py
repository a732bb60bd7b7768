"""See commands as OpenTelemetry spans (needs the packages opentelemetry-sdk and cwsandbox[otel])."""

from collections.abc import Sequence

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult

import cwsandbox
from cwsandbox import Sandbox


class Printer(SpanExporter):
    """Stands where a program has the exporter of its tracing service."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        for span in spans:
            code = (span.attributes or {}).get("process.exit.code")
            if code is not None:
                print(f"{span.name}: exit code {code}, {span.status.status_code.name}")
        return SpanExportResult.SUCCESS


provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(Printer()))
cwsandbox.instrument(tracer_provider=provider)

with provider.get_tracer("example").start_as_current_span("evaluate"), Sandbox.run() as sandbox:
    sandbox.exec(["true"]).result()
    sandbox.exec(["sh", "-c", "exit 3"]).result()

cwsandbox.uninstrument()
