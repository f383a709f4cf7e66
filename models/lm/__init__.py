"""The language-model core: loading, chat template, tokenizer checks, padding, sampling, log-probabilities."""
