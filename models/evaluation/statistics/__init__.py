"""Intervals, aggregates, calibration and cluster bootstrap of evaluated items."""
