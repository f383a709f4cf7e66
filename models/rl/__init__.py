"""Optimisation of the policy after SFT: PPO (ALMoST section 2.3), RLOO, GRPO and DPO, a class each."""
