"""The project's own few-shot conversations and seed queries, written for it; read by `models.prompts.few_shot_prompt`."""
