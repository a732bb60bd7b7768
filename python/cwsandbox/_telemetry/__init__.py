"""OpenTelemetry: spans, metrics and trace context, for those who have it."""
