"""Decontamination: does a text overlap an evaluation set? The papers do not do this.

A text overlaps an evaluation text when
- it contains a *term* (a name of the tiny world's dev and test splits), or
- it has exactly the same words, or
- it shares `ngram` words in a row with it; 13 is the length commonly used, or
- it contains it: a share of the evaluation text's word triples (at least `contained`) stand in it. Texts of under
  seven words, and those said to be templated, are left out: they share their triples with anything of their form.

Words are runs of letters and digits, compared without case. A text without words overlaps nothing. All counts are
exact: triples of words are 64-bit numbers in one sorted array, so that all of MMLU takes some tens of megabytes.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data_contracts.tables.evaluation_texts import OverlapKind

SHINGLE = 3
LEAST_WORDS = 7
_WORD = re.compile(r"[^\W_]+")
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)  # odd, so that multiplying by it loses nothing
Keys = NDArray[np.uint64]


@dataclass(frozen=True)
class Overlap:
    """`kind` None is clean; `name` is the evaluation text overlapped, or of a clean text the nearest one, if any.

    `score` is 1 for terms and equal words; of n-grams the share of the text's own that stand in the evaluation text; in
    all other cases the share of the evaluation text's triples that stand in the text.
    """

    kind: OverlapKind | None
    name: str | None
    score: float


CLEAN = Overlap(None, None, 0.0)


class OverlapIndex:
    """Evaluation texts by their words."""

    def __init__(
        self,
        items: Iterable[tuple[str, str]],
        ngram: int = 13,
        terms: Iterable[tuple[str, str]] = (),
        templated: Iterable[tuple[str, str]] = (),
        contained: float = 0.9,
    ) -> None:
        """`items`, `terms` and `templated` are (name, text) pairs; the name is what `find` reports."""
        if ngram < 1:
            raise ValueError(f"ngram is {ngram}; at least one word is needed")
        self.ngram, self.contained, self._width = ngram, contained, min(SHINGLE, ngram)
        self._terms = {word: name for name, term in terms for word in normalised_words(term)}
        self._names: list[str] = []
        self._exact: dict[str, int] = {}  # words joined by spaces -> the first text that has just these
        self._ids: dict[str, int] = {}
        self._tokens: list[NDArray[np.uint32]] = []
        free: list[bool] = []  # whether a text may be found by being contained
        for group, may in ((items, True), (templated, False)):
            for name, text in group:
                words = normalised_words(text)
                if words:
                    self._exact.setdefault(" ".join(words), len(self._names))
                self._names.append(name)
                self._tokens.append(self._number(words))
                free.append(may and len(words) >= LEAST_WORDS)
        self._index(np.array(free, dtype=bool))

    def __len__(self) -> int:
        """Evaluation texts and terms in the index."""
        return len(self._names) + len(self._terms)

    def find(self, text: str) -> Overlap:
        """By what, and with which evaluation text, `text` overlaps; else the nearest."""
        words = normalised_words(text)
        term = next((word for word in words if word in self._terms), None)
        if term is not None:
            return Overlap(OverlapKind.TERM, self._terms[term], 1.0)
        same = self._exact.get(" ".join(words))
        if same is not None:
            return Overlap(OverlapKind.EXACT, self._names[same], 1.0)
        new: dict[str, int] = {}  # words that no evaluation text has
        known = len(self._ids)
        ids = [self._ids[word] if word in self._ids else known + new.setdefault(word, len(new)) for word in words]
        tokens = np.array(ids, dtype=np.uint32)
        owners, shared = self._sharing(np.unique(_shingles(tokens, self._width)))
        return self._ngram_overlap(tokens, owners, shared) or self._containment(owners, shared)

    def _number(self, words: list[str]) -> NDArray[np.uint32]:
        ids = self._ids
        return np.array([ids.setdefault(word, len(ids)) for word in words], dtype=np.uint32)

    def _index(self, free: NDArray[np.bool_]) -> None:
        """Sort all shingles, each once per text, and count those of every text."""
        own = [np.unique(_shingles(tokens, self._width)) for tokens in self._tokens]
        sizes = np.array([len(keys) for keys in own], dtype=np.int64)
        keys = np.concatenate(own) if own else np.empty(0, dtype=np.uint64)
        owners = np.repeat(np.arange(len(own), dtype=np.int64), sizes)
        order = np.argsort(keys, kind="stable")
        self._keys, self._owners = keys[order], owners[order]
        self._sizes = np.where(free, sizes, 0)  # 0: cannot be contained

    def _sharing(self, keys: Keys) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Texts that have some of these shingles, and how many each."""
        first, behind = np.searchsorted(self._keys, keys, "left"), np.searchsorted(self._keys, keys, "right")
        places = [self._owners[a:b] for a, b in zip(first, behind, strict=True) if b > a]
        if not places:
            return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
        owners, counts = np.unique(np.concatenate(places), return_counts=True)
        return owners, counts

    def _ngram_overlap(
        self, tokens: NDArray[np.uint32], owners: NDArray[np.int64], shared: NDArray[np.int64]
    ) -> Overlap | None:
        """The text with most of these n-grams, the first of several; compared word by word."""
        windows = _windows(tokens, self.ngram)
        if not windows:
            return None
        # A common window brings all its shingles along, so that texts with fewer in common need no look.
        least = min(len({w[i : i + self._width] for i in range(self.ngram - self._width + 1)}) for w in windows)
        found = [
            (len(windows & _windows(self._tokens[owner], self.ngram)), -owner) for owner in owners[shared >= least]
        ]
        most, owner = max(found, default=(0, 0))
        return Overlap(OverlapKind.NGRAM, self._names[-owner], most / len(windows)) if most else None

    def _containment(self, owners: NDArray[np.int64], shared: NDArray[np.int64]) -> Overlap:
        sizes = self._sizes[owners]
        shares = np.where(sizes > 0, shared / np.maximum(sizes, 1), 0.0)
        if not len(shares) or shares.max() == 0:
            return CLEAN
        best = int(shares.argmax())
        kind = OverlapKind.CONTAINED if shares[best] >= self.contained else None
        return Overlap(kind, self._names[owners[best]], float(shares[best]))


def normalised_words(text: str) -> list[str]:
    """The words of a text, case folded, without punctuation."""
    return _WORD.findall(text.casefold())


def _shingles(tokens: NDArray[np.uint32], width: int) -> Keys:
    """Every `width` words in a row as one number; other words give another number but for a chance of 2^-64."""
    number = max(len(tokens) - width + 1, 0)
    keys = np.zeros(number, dtype=np.uint64)
    for place in range(width):
        keys = keys * _MULTIPLIER + tokens[place : place + number].astype(np.uint64) + np.uint64(1)
        keys ^= keys >> np.uint64(29)
    return keys


def _windows(tokens: NDArray[np.uint32], width: int) -> set[tuple[int, ...]]:
    words = tokens.tolist()
    return {tuple(words[start : start + width]) for start in range(len(words) - width + 1)}
