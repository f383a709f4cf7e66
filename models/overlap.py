"""Decontamination: does a mined query overlap an evaluation set? (DESIGN section 10; the papers do not do this.)

Two texts overlap when they share `ngram` words in a row; 13 is the length commonly used. An evaluation text with fewer
words than that overlaps only a text that has exactly the same words. Words are runs of letters and digits, compared
without case. A text without words overlaps nothing.
"""

import re
from collections.abc import Iterable, Iterator

_WORD = re.compile(r"[^\W_]+")


class OverlapIndex:
    """Evaluation texts by their word n-grams."""

    def __init__(
        self, items: Iterable[tuple[str, str]], ngram: int = 13, terms: Iterable[tuple[str, str]] = ()
    ) -> None:
        """`items` are (name, text) pairs; the name, e.g. "mmlu/history-17", is what `find` reports.

        `terms` are (name, word) pairs: a text that contains the word overlaps, whatever else it says.
        """
        if ngram < 1:
            raise ValueError(f"ngram is {ngram}; at least one word is needed")
        self.ngram = ngram
        self._count = 0
        self._ngrams: dict[str, str] = {}  # n words joined by spaces -> name of the first item that has them
        self._short: dict[str, str] = {}  # all words of a shorter item
        for name, text in items:
            self._count += 1
            words = normalised_words(text)
            if len(words) < ngram:
                self._short.setdefault(" ".join(words), name)
            for gram in self._windows(words):
                self._ngrams.setdefault(gram, name)
        self._short.pop("", None)
        self._terms = {word: name for name, term in terms for word in normalised_words(term)}

    def __len__(self) -> int:
        """Evaluation texts and terms in the index."""
        return self._count + len(self._terms)

    def find(self, text: str) -> str | None:
        """Name of the evaluation text that `text` overlaps, None when it is clean."""
        words = normalised_words(text)
        term = next((word for word in words if word in self._terms), None)
        if term is not None:
            return self._terms[term]
        if len(words) < self.ngram:
            return self._short.get(" ".join(words))
        return next((self._ngrams[gram] for gram in self._windows(words) if gram in self._ngrams), None)

    def _windows(self, words: list[str]) -> Iterator[str]:
        return (" ".join(words[start : start + self.ngram]) for start in range(len(words) - self.ngram + 1))


def normalised_words(text: str) -> list[str]:
    """The words of a text, case folded, without punctuation."""
    return _WORD.findall(text.casefold())
