"""How text and tensors are made: engines, reward model, PPO mathematics, training jobs. Knows nothing of Prefect."""
