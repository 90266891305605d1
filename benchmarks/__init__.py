"""Scripts that print ratios against a reference in the same run. Results: docs/benchmarks.md."""
