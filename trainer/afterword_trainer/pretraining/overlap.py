"""Which texts share a passage with texts that must stay unseen: thirteen words in a row.

Knows words and their order, in fingerprints only; knows nothing of where texts come from.
"""

import re
from collections.abc import Iterable
from functools import lru_cache
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

N_WORDS = 13  # in a row; the length that Brown et al. 2020 compare (GPT-3, appendix C)

_WORD = re.compile(r"[^\W_]+")
_FACTOR = 0x9E3779B97F4A7C15  # odd, and its bits are well mixed


class Passages:
    """Every run of thirteen words of some texts, as 64-bit fingerprints.

    Words are compared without case, punctuation or line breaks. Two different runs have one
    fingerprint about once in 10^19 comparisons, so what is found is really there.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        found = [_fingerprints(text) for text in texts]
        self._known = np.unique(np.concatenate(found)) if found else np.zeros(0, np.uint64)

    def __len__(self) -> int:
        return len(self._known)

    def shared_with(self, text: str) -> tuple[int, int]:
        """(runs of `text` that are known, runs of `text`)."""
        runs = _fingerprints(text)
        if not len(self._known) or not len(runs):
            return 0, len(runs)
        at = np.searchsorted(self._known, runs)
        at[at == len(self._known)] = 0
        return int(np.count_nonzero(self._known[at] == runs)), len(runs)


def _fingerprints(text: str) -> NDArray[np.uint64]:
    """One for each run of thirteen words, (n_words - 12,): a polynomial of the words' hashes."""
    words = [_hash(word) for word in _WORD.findall(text.lower())]
    hashes = np.array(words, np.uint64)
    n_runs = len(hashes) - N_WORDS + 1
    if n_runs < 1:
        return np.zeros(0, np.uint64)
    runs = np.zeros(n_runs, np.uint64)
    for index in range(N_WORDS):  # wraps around at 2**64, as it should
        runs = runs * np.uint64(_FACTOR) + hashes[index : index + n_runs]
    return runs


@lru_cache(1 << 17)  # most words are met again soon
def _hash(word: str) -> int:
    """64 bits, the same in every process, unlike `hash`."""
    data = word.encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(data, digest_size=8).digest(), "little")
