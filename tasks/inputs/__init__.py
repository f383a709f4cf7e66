"""What a person names in a profile becomes a handle: models, prompts, data sets, benchmark files."""
