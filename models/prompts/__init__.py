"""The project's own few-shot conversations and seed queries, written for it; read by `models.few_shot_prompt`."""
