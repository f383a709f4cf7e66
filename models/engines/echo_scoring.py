"""Option scoring behind a server: the prompt's own log-probabilities, sent back with `echo`.

vLLM and SGLang do this; others ignore `echo` or refuse it, which `server_abilities` finds out. Each option is a
request of its own that reads its whole context: vLLM does not use its prefix cache for prompt log-probabilities.
"""

import math
from collections.abc import Mapping
from typing import Any

from models.engines.completions_client import Reply, RowRefusedError

ROUNDING = 1e-3  # above 0 by which a server's log-probability may lie


def echo_payload(text: str) -> Mapping[str, Any]:
    """A request for the log-probabilities of a text's own tokens; one new token, since not all servers take none."""
    return {"prompt": text, "max_tokens": 1, "temperature": 0.0, "echo": True, "logprobs": 1}


def prompt_logprobs(reply: Reply, tokens: int) -> list[float]:
    """Log-probabilities of a prompt's tokens after the first, which nothing precedes: `tokens` - 1 numbers <= 0.

    Raises:
        RowRefusedError: the reply holds another number of tokens, or something that is no log-probability.
    """
    read = reply.prompt_tokens if reply.prompt_tokens is not None else tokens
    found = reply.token_logprobs or []
    if read != tokens or len(found) not in (tokens, tokens + 1):
        raise RowRefusedError(
            f"the server sent {len(found)} log-probabilities of {read} prompt tokens; the local tokenizer counts {tokens}"
        )
    values = [value for value in found[1:tokens] if value is not None and _is_logprob(value)]
    if len(values) < tokens - 1:
        raise RowRefusedError("the server sent something else than log-probabilities of the prompt")
    return values


def _is_logprob(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value <= ROUNDING
