"""How a step runs: keys, locks, records, shards, progress, training jobs."""
