"""The language-model core under engines, rollouts, scoring and training: loading, chat template, tokenizer checks,
attention, padding, order by length, sampling, log-probabilities.
"""
