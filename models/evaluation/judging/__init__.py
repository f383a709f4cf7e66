"""A/B tests: judges, their replies, and win rates (ALMoST section 3.1)."""
