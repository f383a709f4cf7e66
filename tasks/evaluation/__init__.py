"""Benchmarks, A/B tests and failures of answers (ALMoST section 3)."""
