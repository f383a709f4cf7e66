"""From texts to token rows that share a prefix.

A row is tokenised whole, prefix and suffix together, so that it reads exactly as it would without any sharing; what
is shared is what the token rows then have in common. Tokenising the two parts apart would break words at the seam,
and SentencePiece vocabularies would put a space there.

Departure: a row begins with one BOS token whenever the tokenizer has one, also when its post-processor adds none.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

TokenIds = list[int]


@dataclass(frozen=True)
class SharedRows:
    """Rows that begin with the same tokens: `shared` once, then each row's own (at least one token)."""

    shared: TokenIds
    own: list[TokenIds]

    def prompt_tokens(self, row: int) -> int:
        """Tokens of the whole row."""
        return len(self.shared) + len(self.own[row])


def encode_rows(tokenizer: Any, texts: Sequence[str]) -> list[TokenIds]:
    """Token ids of each text, with one BOS at the start if the tokenizer has one, and no end token."""
    bos = [] if tokenizer.bos_token_id is None else [tokenizer.bos_token_id]
    if not texts:
        return []
    distinct = list(dict.fromkeys(texts))  # candidates of one prompt share its text
    encoded = tokenizer(distinct, add_special_tokens=False, verbose=False)["input_ids"]
    rows = {text: bos + ids for text, ids in zip(distinct, encoded, strict=True)}
    return [rows[text] for text in texts]


def share_prefix(rows: Sequence[TokenIds], prefix: TokenIds | None = None) -> SharedRows:
    """Split rows at the end of their common beginning, which `prefix`, when given, bounds from above.

    Every row keeps at least its last token for itself: the model must read one to say what comes next.
    """
    shared = list(rows[0] if prefix is None else prefix)
    for row in rows:
        shared = shared[: min(common_length(shared, row), len(row) - 1)]
    return SharedRows(shared, [row[len(shared) :] for row in rows])


def common_length(a: Sequence[int], b: Sequence[int]) -> int:
    """How many tokens two rows have in common from the start."""
    limit = min(len(a), len(b))
    if a[:limit] == b[:limit]:
        return limit
    return next(i for i in range(limit) if a[i] != b[i])
