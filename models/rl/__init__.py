"""Reinforcement learning of the policy: PPO, RLOO and GRPO (ALMoST section 2.3)."""
