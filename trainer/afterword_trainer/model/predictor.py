"""The seam: what the LSTM, the memory, an n-gram and their mix have in common."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Symbols = NDArray[np.uint16]  # ids of an Alphabet, (n,)
Distribution = NDArray[np.float32]  # probabilities of the next symbol, (n_symbols,), summing to 1


class Predictor(Protocol):
    """A model of what comes next, fed one symbol at a time."""

    @property
    def learning(self) -> bool:
        """Whether observing teaches it, so that what it expected before may hold no more.

        Of a fork this is always false: what a rollout imagines must not be learned.
        """

    def observe(self, symbol: int) -> None:
        """Take one more symbol of text into account: an id of the predictor's alphabet.

        Nobody checks that it is one, for this runs hundreds of times a keystroke; a network fails
        on any other id, and the memory reads and writes beyond its tables. `Alphabet.encode` and
        `Alphabet.header` never give another, nor does a draw from `distribution`; whoever has
        symbols from elsewhere, such as a file, compares them with the alphabet's size first.
        """

    def distribution(self) -> Distribution:
        """Probabilities of the next symbol, (n_symbols,); valid until the next `observe`."""

    def fork(self) -> "Predictor":
        """A copy that goes on from here and learns nothing; the original is left as it is."""


def prime(predictor: Predictor, *texts: Symbols) -> None:
    """Let `predictor` observe a header, and what stands before the cursor."""
    for symbols in texts:
        for symbol in symbols.tolist():
            predictor.observe(symbol)
