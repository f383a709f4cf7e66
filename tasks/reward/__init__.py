"""The reward model: training, card, scores on preference pairs (ALMoST section 2.1)."""
