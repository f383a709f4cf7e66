"""Comparing texts: Rouge-L, overlap with evaluation sets, and queries that a person brings."""
