"""What several training jobs share: row order, checkpoints, LoRA, the frame around TRL's trainers."""
