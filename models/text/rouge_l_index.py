"""Rouge-L against all queries kept so far, exact and fast (ALMoST Appendix C.1: a query is dropped above 0.5).

The F measure of two token sequences of n and m tokens is 2 L / (n + m), L their longest common subsequence. What
counts is decided in integers: at a limit of p/q, "above" is 2 L q > p (n + m), so that a score of exactly the limit
is a tie, not a matter of rounding. (Floats go wrong here, and some ties occur: short queries often score 1/2.)

How it skips work: L is at most the number of tokens two sequences have in common, counted with multiplicity; an
inverted index counts those for all kept queries at once, and only candidates that could still beat the best one found
are compared. Ties between equally near queries go to the earliest.
"""

import re
from array import array
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from rapidfuzz.distance import LCSseq

_SEPARATORS = re.compile(r"[^a-z0-9]+")


@dataclass(frozen=True)
class Nearest:
    """The kept query with the highest Rouge-L F, and that score; `query_id` is None when nothing is in common."""

    query_id: str | None
    score: float
    is_duplicate: bool


def rouge_tokens(text: str) -> list[str]:
    """Tokens as rouge_score's default tokenizer makes them: lower case, runs of a-z and 0-9, no stemming."""
    return [token for token in _SEPARATORS.split(text.lower()) if token]


class RougeLIndex:
    """Kept queries; `nearest` compares a new one with all of them, `add` keeps it."""

    def __init__(self, threshold: float | Fraction = 0.5, drop_ties: bool = False) -> None:
        """A query is a duplicate above `threshold`; at it, too, with `drop_ties`.

        A float threshold is read as its shortest decimal: 0.7 means 7/10.
        """
        self.threshold = threshold if isinstance(threshold, Fraction) else Fraction(repr(threshold))
        self.drop_ties = drop_ties
        self._ids: list[str] = []
        self._tokens: list[list[int]] = []
        self._lengths = array("q")
        self._vocabulary: dict[str, int] = {}
        # postings[token, k]: the queries in which the token occurs at least k + 1 times
        self._postings: defaultdict[tuple[int, int], array[int]] = defaultdict(lambda: array("q"))

    def __len__(self) -> int:
        return len(self._ids)

    def add(self, query_id: str, text: str) -> None:
        """Keep a query."""
        tokens = [self._vocabulary.setdefault(token, len(self._vocabulary)) for token in rouge_tokens(text)]
        number = len(self._ids)
        self._ids.append(query_id)
        self._tokens.append(tokens)
        self._lengths.append(len(tokens))
        for token, count in Counter(tokens).items():
            for occurrence in range(count):
                self._postings[token, occurrence].append(number)

    def nearest(self, text: str) -> Nearest:
        """The nearest kept query: the true maximum over all of them, below the threshold too."""
        words = rouge_tokens(text)
        # A word that no kept query has can match nothing: its number only has to differ from all others.
        tokens = [self._vocabulary.get(word, -1 - place) for place, word in enumerate(words)]
        candidates, bounds, sums = self._candidates(tokens)
        best, best_lcs, best_sum = -1, 0, 1
        for place in np.lexsort((candidates, -bounds / np.maximum(sums, 1))):
            bound, total = int(bounds[place]), int(sums[place])
            if bound * best_sum < best_lcs * total:
                break
            candidate = int(candidates[place])
            lcs = LCSseq.similarity(tokens, self._tokens[candidate])
            gain = lcs * best_sum - best_lcs * total
            if gain > 0 or (gain == 0 and lcs and candidate < best):
                best, best_lcs, best_sum = candidate, lcs, total
        if best < 0:
            return Nearest(None, 0.0, self.exceeds(0, max(len(tokens), 1)))
        return Nearest(self._ids[best], 2 * best_lcs / best_sum, self.exceeds(best_lcs, best_sum))

    def exceeds(self, lcs: int, total: int) -> bool:
        """Whether a common subsequence of `lcs` tokens out of `total` in both queries makes a duplicate."""
        excess = 2 * lcs * self.threshold.denominator - self.threshold.numerator * total
        return excess > 0 or (self.drop_ties and excess == 0)

    def _candidates(self, tokens: Sequence[int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Kept queries that share a token: their numbers, the bound on L, and both lengths' sum."""
        shared = np.zeros(len(self._ids), dtype=np.int64)
        for token, count in Counter(tokens).items():
            for occurrence in range(count):
                posting = self._postings.get((token, occurrence))
                if posting is None:
                    break
                shared[np.frombuffer(posting, dtype=np.int64)] += 1
        candidates = shared.nonzero()[0]
        lengths = np.frombuffer(self._lengths, dtype=np.int64) if self._lengths else np.zeros(0, dtype=np.int64)
        return candidates, shared[candidates], lengths[candidates] + len(tokens)
