"""What a completions server really does, tried out once at the start: documentation and replies do not always agree."""

from dataclasses import dataclass

from models.engines.completions_client import CompletionsClient, RowRefusedError
from models.engines.echo_scoring import echo_payload, prompt_logprobs

PROMPT = "The weather was fine, so in the morning they"


@dataclass(frozen=True)
class Abilities:
    """`logprobs`: log-probabilities of the tokens drawn come back. `samples`: seeds and temperature have an effect.
    `prompt_logprobs`: with `echo`, those of the prompt's tokens come back, as many as the local tokenizer counts."""

    logprobs: bool
    samples: bool
    prompt_logprobs: bool


def probe(client: CompletionsClient, prompt_tokens: int) -> Abilities:
    """Try the server out with a few short requests; `prompt_tokens` is what the local tokenizer makes of `PROMPT`.

    Raises:
        EngineError: it is out of reach, refuses a plain completion, or answers with something else.
    """
    client.complete({"prompt": PROMPT, "max_tokens": 2, "temperature": 0.0})
    return Abilities(_returns_logprobs(client), _samples(client), _echoes(client, prompt_tokens))


def _returns_logprobs(client: CompletionsClient) -> bool:
    try:
        reply = client.complete({"prompt": PROMPT, "max_tokens": 2, "temperature": 0.0, "logprobs": 1}, retries=0)
    except RowRefusedError:
        return False
    return reply.token_logprobs is not None and reply.completion_tokens in (None, len(reply.token_logprobs))


def _samples(client: CompletionsClient) -> bool:
    texts = {
        client.complete({"prompt": PROMPT, "max_tokens": 12, "temperature": 1.5, "top_p": 1.0, "seed": seed}).text
        for seed in (1, 2, 3)
    }
    return len(texts) > 1


def _echoes(client: CompletionsClient, prompt_tokens: int) -> bool:
    try:
        reply = client.complete(echo_payload(PROMPT), retries=0)
        prompt_logprobs(reply, prompt_tokens)
    except RowRefusedError:
        return False
    return PROMPT in reply.text
