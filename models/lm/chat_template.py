"""The one chat format of every trained model (reward model, SFT and PPO policy).

Turns are `Human: q` and `Assistant: a<end>`, joined by a blank line, after one begin token if the tokenizer has one.
Nothing follows the last end token, so that a reward model reads the end token itself; a prompt ends in `Assistant:`.

Departures: 1. The paper's prompts have the same markers but no end token; a trained model needs one to stop.
2. Text that spells a special token (`</s>`) loses that spelling: model output is untrusted and must not end a turn.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from data_contracts.conversation import Role, Turn
from data_contracts.errors import ConfigError

# `generation` marks what the assistant says, end token included, for trainers that ask the template for a loss mask.
CHAT_TEMPLATE = (
    "{%- if bos_token is defined and bos_token and bos_token != eos_token -%}{{ bos_token }}{%- endif -%}"
    "{%- for message in messages -%}"
    "{%- if not loop.first -%}{{ '\\n\\n' }}{%- endif -%}"
    "{%- if message['role'] == 'user' -%}"
    "{{ 'Human: ' + message['content'] }}"
    "{%- else -%}"
    "{{ 'Assistant:' }}{% generation %}{{ ' ' + message['content'] + eos_token }}{% endgeneration %}"
    "{%- endif -%}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ '\\n\\nAssistant:' }}{%- endif -%}"
)
_PAD_NAMES = ("<pad>", "<|pad|>", "[PAD]", "<|finetune_right_pad_id|>", "<unk>", "[UNK]")
NEW_PAD = "<|pad|>"
_CHAT_ROLES = {Role.HUMAN: "user", Role.ASSISTANT: "assistant"}


@dataclass(frozen=True)
class RenderedTurn:
    """A conversation as token ids: `prompt_ids` end in `Assistant:`, `response_ids` in the end token."""

    prompt_ids: list[int]
    response_ids: list[int]

    @property
    def ids(self) -> list[int]:
        """Prompt and response in one."""
        return self.prompt_ids + self.response_ids


def prepare_tokenizer(tokenizer: Any) -> bool:
    """Give the tokenizer the chat template and a padding token that is not its end token; True if one was added.

    After True, call `fit_embeddings` on the model. Raises ConfigError when there is no end token.
    """
    if tokenizer.eos_token is None:
        raise ConfigError(f"{tokenizer.name_or_path}: the tokenizer has no end token (eos_token); it needs one")
    tokenizer.chat_template = CHAT_TEMPLATE
    tokenizer.padding_side = "right"
    taken = {tokenizer.eos_token_id, tokenizer.bos_token_id}
    if tokenizer.pad_token is not None and tokenizer.pad_token_id not in taken:
        return False
    vocabulary = tokenizer.get_vocab()
    for name in (*_PAD_NAMES, tokenizer.unk_token):
        if name in vocabulary and vocabulary[name] not in taken:
            tokenizer.pad_token = name
            return False
    tokenizer.add_special_tokens({"pad_token": NEW_PAD})
    return True


def fit_embeddings(model: Any, tokenizer: Any) -> None:
    """Grow the embedding when the tokenizer has more tokens than the model, and align the special ids."""
    embeddings = model.get_input_embeddings()
    rows = getattr(embeddings.weight, "ds_shape", embeddings.weight.shape)[0]  # ZeRO-3 hides the real shape
    if len(tokenizer) > rows:
        model.resize_token_embeddings(len(tokenizer))
    for config in (model.config.get_text_config(), getattr(model, "generation_config", None)):
        if config is not None:
            config.pad_token_id = tokenizer.pad_token_id
            config.eos_token_id = tokenizer.eos_token_id
            config.bos_token_id = tokenizer.bos_token_id


@lru_cache(maxsize=64)
def _special_strings(tokens: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted((token for token in tokens if token), key=len, reverse=True))


def _messages(tokenizer: Any, turns: Sequence[Turn]) -> list[dict[str, str]]:
    special = _special_strings(tuple(tokenizer.all_special_tokens))
    messages = []
    for turn in turns:
        text = turn.text
        while any(token in text for token in special):  # again: removing one may spell another
            for token in special:
                text = text.replace(token, "")
        messages.append({"role": _CHAT_ROLES[turn.role], "content": text.strip()})
    return messages


def render(tokenizer: Any, conversation: Sequence[Turn]) -> str:
    """The conversation as text; one that ends with a human turn gets the generation prompt `Assistant:`."""
    if not conversation:
        raise ConfigError("an empty conversation cannot be rendered")
    text = tokenizer.apply_chat_template(
        _messages(tokenizer, conversation),
        tokenize=False,
        add_generation_prompt=conversation[-1].role is Role.HUMAN,
    )
    assert isinstance(text, str)
    return text


def encode(tokenizer: Any, text: str) -> list[int]:
    """Token ids of rendered text, whose special tokens are spelled out."""
    return tokenizer(text, add_special_tokens=False)["input_ids"]


def prompt_ids(tokenizer: Any, context: Sequence[Turn]) -> list[int]:
    """Token ids of a context that ends with a human turn, up to and with `Assistant:`."""
    return encode(tokenizer, render(tokenizer, context))


def response_turn(tokenizer: Any, context: Sequence[Turn], response: str) -> RenderedTurn:
    """Token ids of a context and the assistant's answer to it, end token included.

    A tokenizer may merge text over the boundary; the tokens from the first difference on then belong to the response.
    """
    before = prompt_ids(tokenizer, context)
    whole = encode(tokenizer, render(tokenizer, (*context, Turn(Role.ASSISTANT, response))))
    shared = len(before)
    if whole[:shared] != before:
        shared = next(i for i, (a, b) in enumerate(zip(before, whole, strict=False)) if a != b)
    return RenderedTurn(whole[:shared], whole[shared:])


def trim_context(tokenizer: Any, context: Sequence[Turn], longest: int) -> tuple[tuple[Turn, ...], int] | None:
    """Drop the oldest turns until the prompt has at most `longest` tokens; the rest starts with a human turn.

    Returns the context and the number of turns dropped, or None when even the last turn alone is too long.
    """
    starts = [i for i, turn in enumerate(context) if turn.role is Role.HUMAN]
    for start in starts:
        kept = tuple(context[start:])
        if len(prompt_ids(tokenizer, kept)) <= longest:
            return kept, start
    return None
