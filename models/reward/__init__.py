"""Reward models: scores, ensembles, the likelihood feature, held-out figures (ALMoST section 2.1)."""
