"""Prefect server, work pools and workers of `almost serve`."""
