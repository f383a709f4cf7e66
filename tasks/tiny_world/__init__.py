"""Steps that only the tiny world has: building it, pre-training its ladder, judging by its facts."""
