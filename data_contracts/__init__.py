"""What crosses a boundary: tables, artifact handles, manifests, checkpoints, job specs, run configuration."""
