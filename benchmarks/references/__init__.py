"""Servers that the benchmarks compare with. They run in an interpreter of their own (`REFERENCE_PYTHON`)."""
