"""Artifacts on disk or in an object store: handles, keys, manifests, backends, locks."""
