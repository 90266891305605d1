"""What the service tells of itself: numbers that Prometheus reads, and traces that go to an OpenTelemetry collector."""
