"""What must hold of a tokenizer before anything is trained with it.

Each of these faults trains a model without a word and spoils it: no end token in the labels (it never stops), padding
that equals the end token (the end is masked, or the reward model reads the wrong token), two begin tokens, a template
whose prompt is not a prefix of prompt and answer, and truncation that nobody counts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from data_contracts.conversation import Role, Turn
from data_contracts.errors import ConfigError
from models.lm.chat_template import RenderedTurn, prompt_ids, response_turn, trim_context

_PROBE = (
    Turn(Role.HUMAN, "What is the capital of France?"),
    Turn(Role.ASSISTANT, "The capital of France is Paris."),
    Turn(Role.HUMAN, "And of Italy?"),
)
_PROBE_ANSWER = "Rome. It has 3 million people:\n1. many live in the centre."


@dataclass
class TruncationCount:
    """How many rows were left whole, lost old turns, or were dropped as too long."""

    rows: int = 0
    trimmed_rows: int = 0
    trimmed_turns: int = 0
    dropped_rows: int = 0

    def metrics(self) -> dict[str, float]:
        """The counts as manifest metrics."""
        return {
            "rows": float(self.rows),
            "rows_context_trimmed": float(self.trimmed_rows),
            "turns_trimmed": float(self.trimmed_turns),
            "rows_too_long_dropped": float(self.dropped_rows),
        }


def same_tokenizer(first: Any, second: Any) -> bool:
    """Whether two prepared tokenizers have the same vocabulary and encode a conversation alike."""
    if first.get_vocab() != second.get_vocab():
        return False
    return response_turn(first, _PROBE, _PROBE_ANSWER) == response_turn(second, _PROBE, _PROBE_ANSWER)


def check_tokenizer(tokenizer: Any, vocabulary_rows: int | None = None) -> None:
    """Check a prepared tokenizer on a probe conversation.

    `vocabulary_rows` is the number of rows of the model's embedding, when it is known.

    Raises:
        ConfigError: names the first condition that does not hold, and how to mend it.
    """
    name = tokenizer.name_or_path
    end, pad, begin = tokenizer.eos_token_id, tokenizer.pad_token_id, tokenizer.bos_token_id
    if end is None or pad is None:
        raise ConfigError(f"{name}: end token id is {end} and padding id is {pad}; call prepare_tokenizer first")
    if pad == end:
        raise ConfigError(f"{name}: padding and end token are both id {end}: the end would be masked as padding")
    answered = response_turn(tokenizer, _PROBE, _PROBE_ANSWER)
    ids = answered.ids
    _check_end(name, answered, end)
    if begin is not None and begin != end and (ids.count(begin) != 1 or ids[0] != begin):
        raise ConfigError(
            f"{name}: {ids.count(begin)} begin tokens (id {begin}) in a conversation, expected one, first"
        )
    if pad in ids and pad != tokenizer.unk_token_id:
        raise ConfigError(
            f"{name}: padding id {pad} occurs in plain text; choose a padding token that text cannot have"
        )
    before = prompt_ids(tokenizer, _PROBE)
    if answered.prompt_ids != before:
        raise ConfigError(
            f"{name}: the prompt's {len(before)} tokens are not a prefix of prompt and answer (they part at token "
            f"{len(answered.prompt_ids)}); the tokenizer merges text across 'Assistant:'"
        )
    if vocabulary_rows is not None and tokenizer.vocab_size > vocabulary_rows:  # added tokens get rows of their own
        raise ConfigError(
            f"{name}: {tokenizer.vocab_size} tokens, but the model's embedding has {vocabulary_rows} rows; the tokenizer "
            "is another model's"
        )


def _check_end(name: str, answered: RenderedTurn, end: int) -> None:
    if answered.response_ids.count(end) != 1 or answered.response_ids[-1] != end:
        raise ConfigError(
            f"{name}: the answer's labels hold the end token (id {end}) {answered.response_ids.count(end)} times and end "
            f"in id {answered.response_ids[-1] if answered.response_ids else None}; expected it once, last"
        )


def check_reads_last_token(ids: Sequence[int], pad_id: int, end_id: int) -> None:
    """Check that a reward model, which reads the rightmost token that is not padding, reads the end token of `ids`."""
    last = next((token for token in reversed(ids) if token != pad_id), None)
    if last != end_id:
        raise ConfigError(f"the reward model would read token {last} of a row, expected the end token {end_id}")


def fit_response(
    tokenizer: Any,
    context: Sequence[Turn],
    responses: Sequence[str],
    max_length: int,
    count: TruncationCount,
) -> list[RenderedTurn] | None:
    """Render answers to one context within `max_length` tokens each, trimming the context at turn boundaries.

    All answers get the same context. Returns None when even the last human turn and the longest answer do not fit;
    `count` keeps the record.
    """
    count.rows += 1
    turns = [response_turn(tokenizer, context, response) for response in responses]
    longest = max(len(turn.ids) for turn in turns)
    if longest <= max_length:
        return turns
    answer = max(len(turn.response_ids) for turn in turns)
    trimmed = trim_context(tokenizer, context, max_length - answer)
    if trimmed is None:
        count.dropped_rows += 1
        return None
    kept, dropped = trimmed
    turns = [response_turn(tokenizer, kept, response) for response in responses]
    if max(len(turn.ids) for turn in turns) > max_length:
        count.dropped_rows += 1
        return None
    count.trimmed_rows += 1
    count.trimmed_turns += dropped
    return turns
