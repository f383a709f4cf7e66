"""What each token does to a text: ends it, is white space, or may complete a stop string.

A row is decoded and searched for stop strings only after a token that brings in the last character of one: those
tokens are found once per vocabulary and set of stop strings.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import torch

from models.lm.token_rows import TokenIds

REPLACEMENT = "\ufffd"  # what a token that holds part of a character decodes to


class StopStrings:
    """Which tokens may complete a stop string, and where a text has to be cut."""

    def __init__(self, stops: Sequence[str], token_texts: Sequence[str], device: torch.device) -> None:
        self.stops = tuple(stops)
        completing = [self._may_complete(text) for text in token_texts]
        self.completing = torch.tensor(completing, dtype=torch.bool, device=device)  # (V,)

    def _may_complete(self, token: str) -> bool:
        for stop in self.stops:
            if stop in token or (REPLACEMENT in token and not stop.isascii()):
                return True
            if any(token.startswith(stop[-length:]) for length in range(1, len(stop) + 1)):
                return True
        return False

    def cut(self, text: str) -> str | None:
        """The text before the first stop string, None when there is none."""
        places = [place for place in (text.find(stop) for stop in self.stops) if place >= 0]
        return text[: min(places)] if places else None


class Vocabulary:
    """A tokenizer and its end tokens, as seen by the decoding loop; masks are (V,) over the model's logits."""

    def __init__(self, tokenizer: Any, size: int, end_ids: Sequence[int], device: torch.device) -> None:
        self.tokenizer, self.size, self.device = tokenizer, size, device
        special = (*end_ids, tokenizer.bos_token_id, tokenizer.pad_token_id)
        self._invisible = frozenset(token for token in special if token is not None)
        self.is_end = torch.zeros(size, dtype=torch.bool, device=device)
        self.is_end[[token for token in end_ids if token < size]] = True
        self._stop_strings: dict[tuple[str, ...], StopStrings] = {}

    def text(self, tokens: TokenIds) -> str:
        """The text of drawn tokens without BOS, end and padding tokens; turn markers stay, special or not."""
        visible = [token for token in tokens if token not in self._invisible]
        return self.tokenizer.decode(visible, skip_special_tokens=False, clean_up_tokenization_spaces=False)

    def stop_strings(self, stops: tuple[str, ...]) -> StopStrings:
        """The stop strings against this vocabulary; kept, since a step asks with the same ones all the time."""
        if stops not in self._stop_strings:
            self._stop_strings[stops] = StopStrings(stops, self.token_texts, self.device)
        return self._stop_strings[stops]

    def ends_text(self, stops: tuple[str, ...]) -> torch.Tensor:
        """Tokens that end a completion on their own: end tokens, and those that hold a whole stop string; (V,)."""
        held = [any(stop in text for stop in stops) for text in self.token_texts]
        return self.is_end | torch.tensor(held, dtype=torch.bool, device=self.device)

    @cached_property
    def blank(self) -> torch.Tensor:
        """Tokens that add nothing but white space, (V,)."""
        return torch.tensor([not text.strip() for text in self.token_texts], dtype=torch.bool, device=self.device)

    @cached_property
    def token_texts(self) -> list[str]:
        """What each token adds to a text, in order of id; "" for ids the tokenizer does not know.

        A token is decoded behind another one, since some tokenizers drop the space at the very start of a text.
        """
        anchor = self.tokenizer("a", add_special_tokens=False)["input_ids"][-1]
        known = min(self.size, len(self.tokenizer))
        plain = self.tokenizer.decode([anchor], clean_up_tokenization_spaces=False)
        pairs = self.tokenizer.batch_decode(
            [[anchor, token] for token in range(known)], clean_up_tokenization_spaces=False
        )
        texts = [pair[len(plain) :] if pair.startswith(plain) else pair for pair in pairs]
        return texts + [""] * (self.size - known)
