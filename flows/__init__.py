"""In what order: flows read like the paper, every line a task or a subflow."""
