"""Pre-training of the tiny ladder: batches, passes, layouts, checkpoints, and what counts as learnt."""
