"""Benchmarks, one question per file; `make bench` runs them all. Figures with conditions: docs/benchmarks.md."""
